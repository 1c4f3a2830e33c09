"""Moto's STS on a free port, with a user who may assume a role.

Arguments: `signed` or `unsigned`, the seconds that a session lasts, and a file. With `signed`, moto
verifies signatures and permissions (the external id is a condition of the role's trust policy);
`unsigned` is for web identities, which moto does not take then. Every session that is given out
stands in the file, as a JSON object a line, before it is answered. One line tells where the server
is and what the user's keys are. It ends with its input.
"""

import json
import sys
import time
import urllib.request

import botocore.session
from moto.server import ThreadedMotoServer
from moto.sts.models import STSBackend

REGION = "eu-west-1"
EXTERNAL_ID = "outside"


def keep_book(path, seconds):
    assume_role = STSBackend.assume_role

    def noted(backend, **asked):
        role = assume_role(backend, **{**asked, "duration": seconds})
        session = {
            "id": role.access_key_id,
            "secret": role.secret_access_key,
            "token": role.session_token,
            "expires_s": time.time() + seconds,
            "session": role.session_name,
        }
        with open(path, "a", encoding="utf-8") as book:
            book.write(json.dumps(session) + "\n")
        return role

    STSBackend.assume_role = noted


def statement(**more):
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def main(mode, seconds, path):
    keep_book(path, int(seconds))
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://%s:%d" % server.get_host_and_port()
    iam = botocore.session.Session().create_client(
        "iam",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="setup",
        aws_secret_access_key="setup",
    )
    iam.create_user(UserName="gateway")
    may_assume = statement(Resource="*")
    iam.put_user_policy(UserName="gateway", PolicyName="assume", PolicyDocument=may_assume)
    key = iam.create_access_key(UserName="gateway")["AccessKey"]
    user = iam.get_user(UserName="gateway")["User"]["Arn"]
    trust = statement(
        Principal={"AWS": user},
        Condition={"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
    )
    role = iam.create_role(RoleName="writer", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    if mode == "signed":
        reset = urllib.request.Request(
            url + "/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(reset).read()
    told = {
        "url": url,
        "access_key": key["AccessKeyId"],
        "secret_key": key["SecretAccessKey"],
        "role_arn": role,
        "external_id": EXTERNAL_ID,
    }
    print(json.dumps(told), flush=True)
    sys.stdin.read()


main(*sys.argv[1:])
