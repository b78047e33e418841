"""The official OpenAI client against a gateway; gateway/tests/sdk.rs starts both and says what is answered."""

import os
import unittest

import openai

URL = os.environ["MANYWORLDS_GATEWAY_URL"] + "/v1"
TEXT = "Grüße, this is a scripted answer."
TOOL = {
    "type": "function",
    "function": {"name": "run", "description": "Runs a command.", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}},
}


def client(token="openai/w", max_retries=0):
    return openai.OpenAI(base_url=URL, api_key=token, max_retries=max_retries, timeout=30)


def said(text):
    return [{"role": "user", "content": text}]


class Answers(unittest.TestCase):
    def usage(self, usage):
        self.assertEqual((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (160, 20, 180))
        self.assertEqual(usage.prompt_tokens_details.cached_tokens, 60)

    def test_chat(self):
        answer = client().chat.completions.create(model="scripted", messages=said("hello"))
        self.assertEqual((answer.choices[0].message.content, answer.choices[0].finish_reason), (TEXT, "stop"))
        self.usage(answer.usage)

    def test_chat_streamed(self):
        options = {"include_usage": True}
        chunks = list(client().chat.completions.create(model="scripted", messages=said("hello"), stream=True, stream_options=options))
        self.assertEqual("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), TEXT)
        self.assertEqual(chunks[-1].choices, [])
        self.usage(chunks[-1].usage)

    def test_chat_streamed_without_usage(self):
        chunks = list(client().chat.completions.create(model="scripted", messages=said("hello"), stream=True))
        self.assertTrue(all(chunk.choices and chunk.usage is None for chunk in chunks))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_chat_tools(self):
        messages = said("use the tool")
        first = client().chat.completions.create(model="scripted", messages=messages, tools=[TOOL]).choices[0]
        self.assertEqual(first.finish_reason, "tool_calls")
        call = first.message.tool_calls[0]
        self.assertEqual((call.function.name, call.function.arguments), ("run", '{"command":"ls \\"ü\\""}'))
        result = {"role": "tool", "tool_call_id": call.id, "content": "result of the tool"}
        second = client().chat.completions.create(model="scripted", messages=[*messages, first.message, result], tools=[TOOL])
        self.assertEqual(second.choices[0].message.content, "It is done.")

    def test_chat_tools_streamed(self):
        with client().chat.completions.stream(model="scripted", messages=said("use the tool"), tools=[TOOL]) as stream:
            message = stream.get_final_completion().choices[0].message
        self.assertEqual(message.tool_calls[0].function.arguments, '{"command":"ls \\"ü\\""}')

    def test_responses(self):
        answer = client().responses.create(model="scripted", input="hello")
        self.assertEqual((answer.output_text, answer.status), (TEXT, "completed"))
        self.assertEqual((answer.usage.input_tokens, answer.usage.output_tokens), (160, 20))

    def test_responses_streamed(self):
        with client().responses.stream(model="scripted", input="hello") as stream:
            deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
        self.assertEqual((deltas, final.output_text, final.usage.total_tokens), (TEXT, TEXT, 180))

    def test_responses_tools(self):
        tool = {"type": "function", **TOOL["function"]}
        with client().responses.stream(model="scripted", input="use the tool", tools=[tool]) as stream:
            calls = [item for item in stream.get_final_response().output if item.type == "function_call"]
        self.assertEqual((calls[0].name, calls[0].arguments), ("run", '{"command":"ls \\"ü\\""}'))
        result = {"type": "function_call_output", "call_id": calls[0].call_id, "output": "result of the tool"}
        call = {"type": "function_call", "call_id": calls[0].call_id, "name": "run", "arguments": calls[0].arguments}
        answer = client().responses.create(model="scripted", input=[*said("use the tool"), call, result], tools=[tool])
        self.assertEqual(answer.output_text, "It is done.")

    def test_completions(self):
        answer = client().completions.create(model="scripted", prompt="hello")
        self.assertEqual(answer.choices[0].text, TEXT)
        parts = client().completions.create(model="scripted", prompt="hello", stream=True)
        self.assertEqual("".join(part.choices[0].text or "" for part in parts if "text" in part.choices[0].model_fields_set), TEXT)

    def test_embeddings(self):
        answer = client("embeddings/w").embeddings.create(model="scripted", input="hello")
        self.assertEqual(answer.data[0].embedding, [0.25, -0.5, 0.75])

    def test_models(self):
        self.assertEqual([model.id for model in client().models.list()], ["scripted"])
        self.assertEqual(client().models.retrieve("scripted").id, "scripted")


class Refusals(unittest.TestCase):
    def refused(self, error, code, token="openai/w", model="scripted", text="hello"):
        with self.assertRaises(error) as raised:
            client(token).chat.completions.create(model=model, messages=said(text))
        self.assertEqual(raised.exception.code, code)
        return raised.exception

    def test_wrong_token(self):
        self.assertIn("no World has this token", str(self.refused(openai.AuthenticationError, "invalid_api_key", "nobody")))

    def test_wrong_model(self):
        self.refused(openai.PermissionDeniedError, "model_not_found", model="dear")

    def test_stopped(self):
        self.refused(openai.PermissionDeniedError, "world_stopped", "stopped/w")

    def test_upstreams_own_error(self):
        self.assertIn("scripted failure 400", str(self.refused(openai.BadRequestError, None, text="fail")))

    def test_cut_stream(self):
        stream = client().chat.completions.create(model="scripted", messages=said("cut"), stream=True)
        with self.assertRaises(Exception):
            for _ in stream:
                pass


class Limited(unittest.TestCase):
    def test_limit(self):
        client().responses.create(model="scripted", input="hello")
        with self.assertRaises(openai.RateLimitError) as raised:
            client().responses.create(model="scripted", input="hello")
        self.assertEqual(raised.exception.code, "rate_limit_exceeded")
        self.assertGreater(int(raised.exception.response.headers["retry-after"]), 30)


class Failing(unittest.TestCase):
    def test_the_clients_retries_are_held(self):
        with self.assertRaises(openai.InternalServerError):
            client(max_retries=5).chat.completions.create(model="scripted", messages=said("hello"))


if __name__ == "__main__":
    unittest.main()
