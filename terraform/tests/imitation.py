"""Serves an imitation of AWS on loopback: moto, and what this project needs beyond it.

Usage: imitation.py PORT. Missing in moto 5.2 are metric streams (it answers 500, which the AWS provider
takes for a passing trouble and repeats) and the tags of scalable targets (likewise), and of AMP the workspace's configuration and the alert
manager's definition (404 with a page of HTML). Here they are kept in memory, in the form of
botocore's models of `monitoring` and `amp`.
"""

import base64
import datetime
import json
import sys

import moto.server
from moto.amp import urls as amp_urls
from moto.amp.responses import PrometheusServiceResponse
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult

STREAMS = {}


class NoSuchStream(ServiceException):
    code = "ResourceNotFoundException"
    message = "There is no such metric stream"


def find(response):
    key = (response.current_account, response.region, response._get_param("Name"))
    if key not in STREAMS:
        raise NoSuchStream
    return key


def put_metric_stream(self):
    wanted = self._get_params()
    name = wanted["Name"]
    arn = f"arn:aws:cloudwatch:{self.region}:{self.current_account}:metric-stream/{name}"
    kept = (
        "Name", "IncludeFilters", "ExcludeFilters", "FirehoseArn", "RoleArn", "OutputFormat",
        "StatisticsConfigurations", "IncludeLinkedAccountsMetrics",
    )
    # As AWS does, a stream without its Firehose or role is refused.
    if not wanted.get("FirehoseArn", "").startswith("arn:aws:firehose:") or not wanted.get("RoleArn"):
        raise ServiceException("InvalidParameterValueException", "FirehoseArn and RoleArn are needed")
    if wanted.get("IncludeFilters") and wanted.get("ExcludeFilters"):
        raise ServiceException("InvalidParameterCombinationException", "include or exclude, not both")
    now = datetime.datetime.now(datetime.timezone.utc)
    stream = {key: wanted[key] for key in kept if key in wanted}
    STREAMS[(self.current_account, self.region, name)] = {**stream, "Arn": arn, "State": "running", "CreationDate": now, "LastUpdateDate": now}
    return ActionResult({"Arn": arn})


def get_metric_stream(self):
    return ActionResult(STREAMS[find(self)])


def delete_metric_stream(self):
    STREAMS.pop((self.current_account, self.region, self._get_param("Name")), None)
    return EmptyResult()


ACTIVE = {"statusCode": "ACTIVE"}
CONFIGURATIONS = {}
DEFINITIONS = {}


def workspace_of(response):
    """The workspace of /workspaces/ID/...; moto answers 404 if it does not exist."""
    workspace_id = response.path.split("/")[2]
    response.amp_backend.describe_workspace(workspace_id=workspace_id)
    return workspace_id


def update_workspace_configuration(self):
    # What is left out stays as it is.
    CONFIGURATIONS.setdefault(workspace_of(self), {}).update(json.loads(self.body))
    return 202, {}, json.dumps({"status": ACTIVE})


def describe_workspace_configuration(self):
    kept = CONFIGURATIONS.get(workspace_of(self), {})
    return json.dumps({"workspaceConfiguration": {"status": ACTIVE, **kept}})


def put_alert_manager_definition(self):
    data = json.loads(self.body)["data"]
    if not base64.b64decode(data, validate=True).lstrip().startswith((b"alertmanager_config", b'"alertmanager_config')):
        return 400, {}, json.dumps({"message": "alertmanager_config is missing"})
    DEFINITIONS[workspace_of(self)] = data
    return 202, {}, json.dumps({"status": ACTIVE})


def describe_alert_manager_definition(self):
    data = DEFINITIONS.get(workspace_of(self))
    if data is None:
        headers = {"x-amzn-errortype": "ResourceNotFoundException"}
        return 404, headers, json.dumps({"message": "no definition", "resourceId": "-", "resourceType": "-"})
    definition = {"data": data, "status": ACTIVE, "createdAt": 1, "modifiedAt": 1}
    return json.dumps({"alertManagerDefinition": definition})


def delete_alert_manager_definition(self):
    DEFINITIONS.pop(workspace_of(self), None)
    return 202, {}, ""


def add(responses, action, name=None):
    name = name or action.__name__
    if not hasattr(responses, name):
        setattr(responses, name, action)


for missing in (put_metric_stream, get_metric_stream, delete_metric_stream):
    add(CloudWatchResponse, missing)
for missing in (
    update_workspace_configuration, describe_workspace_configuration, put_alert_manager_definition,
    describe_alert_manager_definition, delete_alert_manager_definition,
):
    add(PrometheusServiceResponse, missing)
add(ApplicationAutoScalingResponse, lambda self: json.dumps({"Tags": {}}), "list_tags_for_resource")
add(PrometheusServiceResponse, put_alert_manager_definition, "create_alert_manager_definition")
for path in ("configuration", "alertmanager/definition"):
    amp_urls.url_paths.setdefault(
        "{0}/workspaces/(?P<workspace_id>[^/]+)/" + path + "$", PrometheusServiceResponse.dispatch
    )

moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[1]])
