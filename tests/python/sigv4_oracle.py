"""Signs requests with botocore: one JSON object a line comes in, one `Authorization` a line goes out.

A request has `method`, `url`, `headers` (those that are signed, without host, date and session
token, which botocore makes itself), `body` (base64), `region`, `service`, `access_key`,
`secret_key`, `token` (or null) and `date` (as in X-Amz-Date).
"""

import base64
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def authorization(said):
    date = datetime.datetime.strptime(said["date"], "%Y%m%dT%H%M%SZ")
    # botocore signs for the present; here that is when the request was signed by the gateway.
    botocore.auth.get_current_datetime = lambda: date
    credentials = Credentials(said["access_key"], said["secret_key"], said["token"])
    body = base64.b64decode(said["body"])
    request = AWSRequest(said["method"], said["url"], headers=said["headers"], data=body)
    botocore.auth.SigV4Auth(credentials, said["service"], said["region"]).add_auth(request)
    assert request.headers["X-Amz-Date"] == said["date"]
    return request.headers["Authorization"]


for line in sys.stdin:
    print(json.dumps(authorization(json.loads(line))), flush=True)
