# Two roles: what ECS may do to start a task, and what the task itself may do.

# Both may be used for tasks of this account alone.
data "aws_iam_policy_document" "task_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:*"]
    }
  }
}

# The task: write to the workspaces named, assume the roles named, nothing else.

locals {
  workspace_arns = [for one in var.remote_write : one.workspace.arn if one.workspace != null && one.assume_role == null]
  role_arns      = [for one in var.remote_write : one.assume_role.arn if one.assume_role != null]
}

data "aws_iam_policy_document" "task" {
  dynamic "statement" {
    for_each = length(local.workspace_arns) > 0 ? [local.workspace_arns] : []
    content {
      sid       = "RemoteWrite"
      actions   = ["aps:RemoteWrite"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.role_arns) > 0 ? [local.role_arns] : []
    content {
      sid       = "AssumeNamedRoles"
      actions   = ["sts:AssumeRole"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${local.role_prefix}-task"
  description        = "Sluicegate writes samples"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "task" {
  count = length(local.workspace_arns) + length(local.role_arns) > 0 ? 1 : 0

  name   = "remote-write"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_iam_role_policy" "sidecars" {
  for_each = var.task_policies

  name   = each.key
  role   = aws_iam_role.task.id
  policy = each.value
}

# ECS: fetch the image, read the secrets, write the log.

locals {
  # The repository, where the image is in a private registry of ECR.
  ecr = try(regex("^(?P<account>[0-9]{12})[.]dkr[.]ecr(?:-fips)?[.](?P<region>[a-z0-9-]+)[.][a-z.]+/(?P<repository>[^:@]+)", var.image), null)
}

data "aws_iam_policy_document" "execution" {
  dynamic "statement" {
    for_each = local.ecr[*]
    content {
      sid       = "PullImage"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${local.partition}:ecr:${statement.value.region}:${statement.value.account}:repository/${statement.value.repository}"]
    }
  }

  dynamic "statement" {
    for_each = local.ecr[*]
    content {
      sid       = "SignInToRegistry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # the action knows no resource
    }
  }

  statement {
    sid       = "ReadSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = concat(values(local.access_key_secret_arns), local.secret_arns)
  }

  dynamic "statement" {
    for_each = length(local.parameter_arns) > 0 ? [local.parameter_arns] : []
    content {
      sid       = "ReadParameters"
      actions   = ["ssm:GetParameters"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.decryption_keys) > 0 ? [local.decryption_keys] : []
    content {
      sid       = "DecryptSecrets"
      actions   = ["kms:Decrypt"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.amazonaws.com", "ssm.${local.region}.amazonaws.com"]
      }
    }
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"]
  }
}

resource "aws_iam_role" "execution" {
  name               = "${local.role_prefix}-execution"
  description        = "ECS starts Sluicegate's tasks"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}
