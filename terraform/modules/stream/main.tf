# Names, and who and where we are.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name

  # IAM is global and bucket names are the world's: both carry the region, buckets the account, too.
  role_prefix = "${var.name}-${local.region}"
  bucket_name = "${var.name}-failed-${local.account_id}-${local.region}"

  tags = merge({ Application = "sluicegate", Component = "stream" }, var.tags)
}
