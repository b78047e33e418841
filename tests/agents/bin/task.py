"""Prints the task of the World's order, as the prompt of an agent program."""
import json
import os

with open(os.environ["MANYWORLDS_ORDER_FILE"], encoding="utf-8") as file:
    task = json.load(file)["task"]
print(task["title"])
print()
print(task.get("body") or "")
