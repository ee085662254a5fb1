# Posts a JSON file to the webhook "{{name}}".
# Needs Python 3 and `pip install requests`. Run: python3 post.py [FILE]
@secret import os
import sys

import requests

@secret secret = os.environ.get("INRUSH_SECRET")
@secret if not secret:
@secret     sys.exit("INRUSH_SECRET: set it to the secret of the webhook")
@secret
if len(sys.argv) > 1:
    with open(sys.argv[1], "rb") as file:
        body = file.read()
else:
    body = b'{"hello":"world"}'

response = requests.post(
    "{{url}}",
    data=body,
    headers={
        "content-type": "application/json",
@secret         "x-bp-secret": secret,
    },
    timeout=60,
)
print(response.status_code, response.headers.get("x-event-id", ""))
if not 200 <= response.status_code <= 299:
    sys.exit(response.text)
