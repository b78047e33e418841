"""The official Anthropic client against a gateway; gateway/tests/sdk.rs starts both and says what is answered."""

import os
import unittest

import anthropic

URL = os.environ["MANYWORLDS_GATEWAY_URL"]
TEXT = "Grüße, this is a scripted answer."
TOOL = {"name": "run", "description": "Runs a command.", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}
WANTED = {"command": 'ls "ü"'}


def client(token="anthropic/w", max_retries=0):
    return anthropic.Anthropic(base_url=URL, api_key=token, max_retries=max_retries, timeout=30)


def call(text, **more):
    return {"model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


class Answers(unittest.TestCase):
    def usage(self, usage):
        self.assertEqual((usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens), (100, 60, 20))

    def test_message(self):
        answer = client().messages.create(**call("hello"))
        self.assertEqual((answer.content[0].text, answer.stop_reason), (TEXT, "end_turn"))
        self.usage(answer.usage)

    def test_bearer(self):
        bearer = anthropic.Anthropic(base_url=URL, auth_token="anthropic/w", max_retries=0)
        self.assertEqual(bearer.messages.create(**call("hello")).content[0].text, TEXT)

    def test_message_streamed(self):
        with client().messages.stream(**call("hello")) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual((text, final.content[0].text, final.stop_reason), (TEXT, TEXT, "end_turn"))
        self.usage(final.usage)

    def test_events(self):
        kinds = [event.type for event in client().messages.create(**call("hello"), stream=True)]
        self.assertEqual((kinds[0], kinds[-2], kinds[-1]), ("message_start", "message_delta", "message_stop"))

    def test_beta(self):
        answer = client().beta.messages.create(**call("hello"), betas=["some-beta-2026-01-01"])
        self.assertEqual(answer.content[0].text, TEXT)

    def test_tools(self):
        first = client().messages.create(**call("use the tool", tools=[TOOL]))
        self.assertEqual(first.stop_reason, "tool_use")
        use = next(block for block in first.content if block.type == "tool_use")
        self.assertEqual((use.name, use.input), ("run", WANTED))
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "result of the tool"}
        asked = call("use the tool", tools=[TOOL])
        asked["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        self.assertEqual(client().messages.create(**asked).content[0].text, "It is done.")

    def test_tools_streamed(self):
        with client().messages.stream(**call("use the tool", tools=[TOOL])) as stream:
            final = stream.get_final_message()
        self.assertEqual([block.input for block in final.content if block.type == "tool_use"], [WANTED])

    def test_count_tokens(self):
        asked = call("hello")
        del asked["max_tokens"]
        self.assertEqual(client().messages.count_tokens(**asked).input_tokens, 160)

    def test_models(self):
        self.assertEqual([model.id for model in client().models.list()], ["scripted"])


class Refusals(unittest.TestCase):
    def refused(self, error, kind, token="anthropic/w", text="hello", **more):
        with self.assertRaises(error) as raised:
            client(token).messages.create(**{**call(text), **more})
        self.assertEqual(raised.exception.body["error"]["type"], kind)
        return raised.exception

    def test_wrong_token(self):
        self.assertIn("no World has this token", str(self.refused(anthropic.AuthenticationError, "authentication_error", "nobody")))

    def test_wrong_model(self):
        self.refused(anthropic.PermissionDeniedError, "permission_error", model="dear")

    def test_stopped(self):
        self.refused(anthropic.PermissionDeniedError, "permission_error", "stopped/w")

    def test_upstreams_own_error(self):
        self.assertIn("scripted failure 400", str(self.refused(anthropic.BadRequestError, "invalid_request_error", text="fail")))

    def test_cut_stream(self):
        with self.assertRaises(Exception):
            for _ in client().messages.create(**call("cut"), stream=True):
                pass


class Limited(unittest.TestCase):
    def test_limit(self):
        client().messages.create(**call("hello"))
        with self.assertRaises(anthropic.RateLimitError) as raised:
            client().messages.create(**call("hello"))
        self.assertEqual(raised.exception.body["error"]["type"], "rate_limit_error")
        self.assertGreater(int(raised.exception.response.headers["retry-after"]), 30)


class Failing(unittest.TestCase):
    def test_the_clients_retries_are_held(self):
        with self.assertRaises(anthropic.InternalServerError):
            client(max_retries=5).messages.create(**call("hello"))


if __name__ == "__main__":
    unittest.main()
