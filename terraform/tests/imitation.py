"""Serves an imitation of AWS on loopback: moto, and what this project needs beyond it.

Usage: imitation.py PORT. Missing in moto 5.2 are metric streams (it answers 500, which the AWS provider
takes for a passing trouble and repeats) and the tags of scalable targets (likewise), and of AMP the workspace's
configuration and the alert manager's definition (404 with a page of HTML). Here they are kept in memory, in the form
of botocore's models of `monitoring`, `application-autoscaling` and `amp`.

Moto also takes and forgets most settings of an ECS service and the description of a security group's rule that names
another group. They are kept here as well, so that a second plan must find nothing to do.
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
from moto.core.utils import camelcase_to_underscores
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse

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
    self.cloudwatch_backend.tagger.tag_resource(arn, wanted.get("Tags", []))
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


TARGET_TAGS = {}
register_scalable_target = ApplicationAutoScalingResponse.register_scalable_target
create_service = EC2ContainerServiceResponse.create_service


def register_scalable_target_with_tags(self):
    answer = register_scalable_target(self)
    # Registering again changes capacities alone.
    TARGET_TAGS.setdefault(json.loads(answer)["ScalableTargetARN"], self._get_param("Tags") or {})
    return answer


def list_tags_for_resource(self):
    return json.dumps({"Tags": TARGET_TAGS.get(self._get_param("ResourceARN"), {})})


def create_service_whole(self):
    answer = create_service(self)
    service = answer.result["service"]
    for name, value in self._get_params().items():
        if not hasattr(service, camelcase_to_underscores(name)):
            setattr(service, camelcase_to_underscores(name), value)
    return answer


def description(self):
    return self.ip_range.get("Description") or self.source_group.get("Description")


ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target_with_tags
EC2ContainerServiceResponse.create_service = create_service_whole
SecurityGroupRule.description = property(description)


def add(responses, action, name=None):
    name = name or action.__name__
    if not hasattr(responses, name):
        setattr(responses, name, action)


for missing in (put_metric_stream, get_metric_stream, delete_metric_stream):
    add(CloudWatchResponse, missing)
add(ApplicationAutoScalingResponse, list_tags_for_resource)
for missing in (
    update_workspace_configuration, describe_workspace_configuration, put_alert_manager_definition,
    describe_alert_manager_definition, delete_alert_manager_definition,
):
    add(PrometheusServiceResponse, missing)
add(PrometheusServiceResponse, put_alert_manager_definition, "create_alert_manager_definition")
for path in ("configuration", "alertmanager/definition"):
    amp_urls.url_paths.setdefault(
        "{0}/workspaces/(?P<workspace_id>[^/]+)/" + path + "$", PrometheusServiceResponse.dispatch
    )

moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[1]])
