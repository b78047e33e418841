#!/usr/bin/env python3
"""Prints the scripted model's script with which each agent program fixes the sample bug by its own tools.

script.py FOLDER [KEY]: the models are scripted-claude-code, scripted-codex, scripted-gemini-cli and scripted-aider. Each program
has the repository in the folder's part of its own name: some tools take absolute paths only. With a key, no other is let in.
"""

import json
import sys

FILE = "xmltodict.py"
TESTS = "python3 -m pytest -q -p no:cacheprovider 2>&1 | tail -n 3"
DONE = "Names are checked before they are written; the tests pass."

# Each text stands in the file once.
EDITS = [
    (
        '    return isinstance(value, str) and ("<" in value or ">" in value)\n',
        "    if not isinstance(value, str):\n"
        "        return True\n"
        "    return value[:1] in (\"?\", \"!\") or any(sign in \"<>/\\\"'=\" or sign.isspace() for sign in value)\n",
    ),
    ("    if not namespaces:\n        return name\n", "    if not namespaces or not isinstance(name, str):\n        return name\n"),
    (
        "            if ik.startswith(attr_prefix):\n",
        "            if isinstance(ik, str) and ik.startswith(attr_prefix):\n",
    ),
]


def turns(*replies):
    """One rule for each answer, in this order."""
    return [{"turn": number, "reply": reply} for number, reply in enumerate(replies)]


def calls(*pairs):
    return {"toolCalls": [{"name": name, "arguments": arguments} for name, arguments in pairs]}


def claude_code(path):
    edits = [("Edit", {"file_path": path, "old_string": old, "new_string": new}) for old, new in EDITS]
    read = calls(("Read", {"file_path": path}))
    return turns(read, calls(*edits), calls(("Bash", {"command": TESTS, "description": "Run the tests"})), {"text": DONE})


def codex(_path):
    lines = ["*** Begin Patch", f"*** Update File: {FILE}"]
    for old, new in EDITS:
        lines.append("@@")
        lines += ["-" + line for line in old.splitlines()] + ["+" + line for line in new.splitlines()]
    patch = "apply_patch <<'END_OF_PATCH'\n" + "\n".join([*lines, "*** End Patch"]) + "\nEND_OF_PATCH\n"
    read = calls(("exec_command", {"cmd": f"grep -n _has_angle_brackets {FILE}"}))
    return turns(read, calls(("exec_command", {"cmd": patch})), calls(("exec_command", {"cmd": TESTS})), {"text": DONE})


def gemini_cli(path):
    edits = [
        calls(("replace", {"file_path": path, "old_string": old, "new_string": new, "instruction": "Refuse names with markup"}))
        for old, new in EDITS
    ]
    read = calls(("read_file", {"file_path": path}))
    return turns(read, *edits, calls(("run_shell_command", {"command": TESTS})), {"text": DONE})


def aider(_path):
    blocks = [f"{FILE}\n```python\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n```\n" for old, new in EDITS]
    # Its first question has an example of an answer in it already.
    return [{"reply": {"text": DONE + "\n\n" + "\n".join(blocks)}}]


def main():
    folder, key = sys.argv[1], (sys.argv[2:] or [None])[0]
    scripts = {"claude-code": claude_code, "codex": codex, "gemini-cli": gemini_cli, "aider": aider}
    models = {f"scripted-{name}": script(f"{folder}/{name}/{FILE}") for name, script in scripts.items()}
    print(json.dumps({"models": models, "key": key}, indent=1))


main()
