# The configuration file's text. It reaches the task as the environment variable
# SLUICEGATE_CONFIG_CONTENT: the root file system is read-only and the image has no shell, so that
# nothing could write a file first, and a change of the configuration is a change of the task
# definition, which the circuit breaker rolls back if tasks do not come up. Secrets are not part of
# it: ${NAME} is replaced by the gateway from variables that ECS fills.

locals {
  given_configuration = yamldecode(var.configuration)

  access_key_variables = { for key in var.access_keys : key.name => "SLUICEGATE_KEY_${upper(replace(key.name, "-", "_"))}" }

  server = merge(try(local.given_configuration.server, {}), {
    listen_address   = "0.0.0.0:${local.ingest_port}"
    path             = var.path
    request_deadline = "${local.request_deadline_seconds}s"
    idle_timeout     = "${local.gateway_idle_seconds}s"
    shutdown_delay   = "${local.shutdown_delay_seconds}s"
    drain_deadline   = "${local.drain_deadline_seconds}s"
    access_keys = [for key in var.access_keys : {
      name     = key.name
      key      = "$${${local.access_key_variables[key.name]}}"
      accounts = length(var.source_account_ids) > 0 ? var.source_account_ids : [local.account_id]
    }]
  })

  telemetry = merge(try(local.given_configuration.telemetry, {}), {
    listen_address = "0.0.0.0:${local.telemetry_port}"
  })

  remote_write = [for destination in var.remote_write : merge(
    yamldecode(destination.settings),
    {
      name     = destination.name
      url      = destination.url
      required = destination.required
    },
    { for key, role in { sigv4 = destination.assume_role } : key => merge(
      try(yamldecode(destination.settings).sigv4, {}),
      { role_arn = role.arn },
      { for name, id in { external_id = role.external_id } : name => id if id != null },
    ) if role != null },
  )]

  configuration = yamlencode(merge(local.given_configuration, {
    server       = local.server
    telemetry    = local.telemetry
    remote_write = local.remote_write
  }))
}
