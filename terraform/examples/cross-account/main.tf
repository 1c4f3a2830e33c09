# Three accounts: the gateway in one, the AMP workspace in another, and the metrics of a third. Terraform
# stands in the gateway's account and assumes a role in each of the others; so does the gateway, to write.

provider "aws" {
  region = var.region
}

provider "aws" {
  alias  = "workspace"
  region = var.region

  assume_role {
    role_arn = "arn:aws:iam::${var.workspace_account_id}:role/${var.deployment_role_name}"
  }
}

provider "aws" {
  alias  = "workload"
  region = var.region

  assume_role {
    role_arn = "arn:aws:iam::${var.workload_account_id}:role/${var.deployment_role_name}"
  }
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-west-1"
}

variable "workspace_account_id" {
  description = "Account of the AMP workspace."
  type        = string
}

variable "workload_account_id" {
  description = "Account whose metrics are streamed."
  type        = string
}

variable "deployment_role_name" {
  description = "Role in both accounts that Terraform assumes."
  type        = string
  default     = "terraform"
}

variable "workspace_cli_profile" {
  description = "Profile of the AWS CLI for the workspace's account, by which its out-of-order window is set. Null: run the output's command by hand."
  type        = string
  default     = null
}

variable "image" {
  description = "Container image of Sluicegate."
  type        = string
}

variable "domain_name" {
  description = "Host name of the endpoint."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate of the domain."
  type        = string
}

variable "network" {
  description = "Network of the gateway."
  type = object({
    vpc_id                   = string
    load_balancer_subnet_ids = list(string)
    task_subnet_ids          = list(string)
  })
}

variable "access_key" {
  description = "The access key (TF_VAR_access_key), which stands in a secret of each account. Ephemeral: neither in a plan nor in the state."
  type        = string
  ephemeral   = true
  sensitive   = true
}

data "aws_caller_identity" "gateway" {}

# The workspace's account

module "workspace" {
  source    = "../../modules/workspace"
  providers = { aws = aws.workspace }

  out_of_order_window_by_cli = var.workspace_cli_profile != null
  aws_cli_environment        = { for name, profile in { AWS_PROFILE = var.workspace_cli_profile } : name => profile if profile != null }
}

# The gateway's role may assume this one, and only with the external id.
data "aws_iam_policy_document" "writer_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [module.gateway.task_role_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [local.external_id]
    }
  }
}

data "aws_iam_policy_document" "writer" {
  statement {
    sid       = "RemoteWrite"
    actions   = ["aps:RemoteWrite"]
    resources = [module.workspace.workspace_arn]
  }
}

locals {
  external_id = "sluicegate-${data.aws_caller_identity.gateway.account_id}"
  writer_name = "sluicegate-writer"
}

resource "aws_iam_role" "writer" {
  provider = aws.workspace

  name               = local.writer_name
  description        = "Sluicegate writes samples from account ${data.aws_caller_identity.gateway.account_id}"
  assume_role_policy = data.aws_iam_policy_document.writer_trust.json
}

resource "aws_iam_role_policy" "writer" {
  provider = aws.workspace

  name   = "remote-write"
  role   = aws_iam_role.writer.id
  policy = data.aws_iam_policy_document.writer.json
}

# The gateway's account

module "gateway" {
  source = "../../modules/gateway"

  image           = var.image
  domain_name     = var.domain_name
  certificate_arn = var.certificate_arn

  vpc_id                   = var.network.vpc_id
  load_balancer_subnet_ids = var.network.load_balancer_subnet_ids
  task_subnet_ids          = var.network.task_subnet_ids

  remote_write = [{
    name = "amp"
    url  = module.workspace.remote_write_url
    # By its name: the role itself trusts the gateway's role, which must be there first.
    assume_role = {
      arn         = "arn:aws:iam::${var.workspace_account_id}:role/${local.writer_name}"
      external_id = local.external_id
    }
  }]

  access_keys        = [{ name = "shared", given = true }]
  access_key_values  = { shared = var.access_key }
  source_account_ids = [var.workload_account_id]
}

# The account whose metrics are streamed

module "stream" {
  source    = "../../modules/stream"
  providers = { aws = aws.workload }

  endpoint_url = module.gateway.endpoint_url

  # It cannot read the gateway's secret, so it keeps the key in one of its own.
  copy_access_key = true
  access_key      = var.access_key
  access_key_name = "shared"
}

output "next_steps" {
  description = "How to see that the gateway answers."
  value       = module.gateway.next_steps
}

output "out_of_order_window_command" {
  description = "Shell command that sets the workspace's out-of-order window, run with the rights of its account."
  value       = module.workspace.out_of_order_window_command
}
