"""python scripts/queue_by_api.py photo.jpg "a red figure at sunset" [http://127.0.0.1:8188]"""

import json
import sys
import time
from pathlib import Path

import requests

if len(sys.argv) < 3:
    sys.exit(__doc__)
photo, prompt, server = (*sys.argv[1:], "http://127.0.0.1:8188")[:3]
graph = json.loads((Path(__file__).parents[1] / "tests/graphs/multi_condition.json").read_text())
nodes = {node["_meta"]["title"]: node for node in graph.values()}
with open(photo, "rb") as file:
    sent = requests.post(f"{server}/upload/image", files={"image": file}, timeout=60).json()
nodes["Demo Scene"].update(class_type="LoadImage", inputs={"image": sent["name"]})
# Only a rendered scene comes with depth and pose: with a photo the chain ends before them.
nodes["Plan Offload"]["inputs"]["conditions"] = nodes["Condition: depth"]["inputs"]["previous"]
nodes["Prompt"]["inputs"]["text"] = prompt

wanted = {"prompt": graph, "client_id": "queue_by_api"}  # no id: cached nodes show nothing
answer = requests.post(f"{server}/prompt", json=wanted, timeout=60).json()
run = answer.get("prompt_id") or sys.exit(json.dumps(answer, indent=2))
while not (history := requests.get(f"{server}/history/{run}", timeout=60).json()):
    time.sleep(0.5)
if history[run]["status"]["status_str"] != "success":
    sys.exit(json.dumps(history[run]["status"]["messages"][-1], indent=2))
for output in history[run]["outputs"].values():
    for image in (one for one in output.get("images", []) if one["type"] == "output"):
        picture = requests.get(f"{server}/view", params=image, timeout=60).content
        Path(image["filename"]).write_bytes(picture)
        print(image["filename"])
