# The out-of-order window. CloudWatch's data is minutes late, and Firehose's retries may overtake one
# another: with AMP's 60 s such samples are refused for good.
#
# The provider's aws_prometheus_workspace_configuration has no argument for the window before its
# version 6, and a module cannot use an argument only where it exists. The update call leaves out what
# it is not given, so that the CLI and the provider do not undo each other's part. Once this module asks
# for a provider that knows `out_of_order_time_window_in_seconds`, this file becomes that one line.

locals {
  out_of_order_window_command = join(" ", [
    "aws amp update-workspace-configuration",
    "--region", local.region,
    "--workspace-id", aws_prometheus_workspace.this.id,
    "--out-of-order-time-window-in-seconds", coalesce(var.out_of_order_window_seconds, 600),
  ])
}

resource "terraform_data" "out_of_order_window" {
  count = var.out_of_order_window_by_cli && var.out_of_order_window_seconds != null ? 1 : 0

  triggers_replace = [aws_prometheus_workspace.this.id, var.out_of_order_window_seconds]

  provisioner "local-exec" {
    environment = var.aws_cli_environment
    command     = <<-EOT
      ${local.out_of_order_window_command} || {
        echo 'The out-of-order window could not be set. It needs an AWS CLI of June 2026 or later with the rights of this apply' >&2
        echo '(aws_cli_environment). Apply again, or set out_of_order_window_by_cli = false and run the command by hand.' >&2
        exit 1
      }
    EOT
  }

  # Two updates of one workspace's configuration at a time conflict.
  depends_on = [aws_prometheus_workspace_configuration.this]
}
