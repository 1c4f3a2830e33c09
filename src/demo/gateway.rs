//! The gateway's configuration in the demo.

use crate::config::{Config, Source, load_within};
use crate::secret::Secret;

/// Path of the Firehose endpoint.
pub const PATH: &str = "/firehose";

/// A gateway on free loopback ports that takes one access key and writes to one receiver. The waits
/// are shorter than in production, so that a short demo sees the end of its fault.
///
/// # Errors
/// If the configuration has a fault, which would be the demo's own.
pub fn config(access_key: &Secret, receiver_url: &str) -> anyhow::Result<Config> {
    let key = access_key.expose();
    let text = format!(
        r#"
server:
  listen_address: 127.0.0.1:0
  path: {PATH}
  access_keys:
    - {{ name: demo, key: "{key}" }}
  request_deadline: 30s
  budget: 256MiB
  shutdown_delay: 0s
  drain_deadline: 10s
telemetry:
  listen_address: 127.0.0.1:0
remote_write:
  - name: demo
    url: {receiver_url}
    remote_timeout: 5s
    queue_config: {{ max_shards: 8, min_backoff: 100ms, max_backoff: 1s }}
"#
    );
    // The environment and the machine's memory are left out: the demo is the same everywhere.
    load_within(Source::Content(&text), &|_| None, None)
        .map(|loaded| loaded.config)
        .map_err(|faults| anyhow::anyhow!("{faults}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_holds() {
        let config = config(&Secret::new("open sesame"), "http://127.0.0.1:9/api/v1/write");
        assert!(config.is_ok_and(|config| config.server.path == PATH));
    }
}
