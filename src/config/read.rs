//! A text, read into a configuration: section after section, then what holds between sections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fault::{Fault, Faults, Mark};
use super::reader::{Findings, Reader, Section, read_section};
use super::source::{Loaded, Source};
use super::yaml::{Entry, Node, Value, parse};
use super::{Config, Telemetry, cloudwatch, memory, relabel, remote_write, server};
use crate::deliver::Destination;
use crate::units::format_bytes;

/// The two variables that suffice to start.
const URL_VARIABLE: &str = "SLUICEGATE_REMOTE_WRITE_URL";
const KEY_VARIABLE: &str = "SLUICEGATE_ACCESS_KEY";

/// A request that is made, and one that an attempt without an answer may hold still; what does not compress
/// becomes a sixth longer.
const LANE_BUFFERS: u64 = 3;
/// What couriers may take of the memory that is reckoned with beside the budget.
const LANES_BYTES_USUAL: u64 = 64 << 20;

/// Reads a configuration. Sizes that it leaves out follow from the container's memory limit.
///
/// # Errors
/// Every fault that it has, in the order of the text.
pub fn load(source: Source<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Faults> {
    load_within(source, env, memory::limit_bytes()).map(|loaded| loaded.config)
}

/// [`load`] for a given memory limit in bytes; also returns where the configuration came from and the
/// notes on it.
///
/// # Errors
/// As [`load`].
pub fn load_within(
    source: Source<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    memory_limit: Option<u64>,
) -> Result<Loaded, Faults> {
    let name = source.name();
    let (root, faults) = parse(source.text());
    let Some(mut root) = root else { return Err(Faults::new(name, faults)) };
    fill_from_environment(&mut root, env);
    let reader = Reader::new(env, source.base(), faults);
    let config =
        read_section(&reader, "", Some(&root), false, |section| read_root(section, memory_limit));
    let Findings { faults, mut notes, .. } = reader.findings();
    if !faults.is_empty() {
        let faults = faults.into_iter().map(name_the_variable).collect();
        return Err(Faults::new(name, faults));
    }
    notes.sort_by_key(|note| note.mark);
    let notes = notes.into_iter().map(|note| name_the_variable(note).line(&name)).collect();
    Ok(Loaded { config, origin: name, notes })
}

fn read_root(root: &Section<'_>, memory_limit: Option<u64>) -> Config {
    let reader = root.reader;
    let (mut server, says_body) = root.section("server", |section| {
        (server::read(section, memory_limit), section.says("max_body_size"))
    });
    let telemetry = root.section("telemetry", |section| Telemetry {
        listen_address: section
            .address("listen_address")
            .unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8081)),
        enable_lifecycle: section.bool("enable_lifecycle").unwrap_or_default(),
    });
    let (one, other) = (server.listen_address, telemetry.listen_address);
    let overlap =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    if one.port() == other.port() && one.port() != 0 && overlap {
        let paths = ["telemetry.listen_address", "server.listen_address"];
        let message = format!("{other} cannot be listened on beside server.listen_address ({one})");
        reader.relation(paths, message);
    }
    let cloudwatch = root.section("cloudwatch", |section| cloudwatch::read(section, server.budget));
    let table_bytes = cloudwatch.series_limit.map_or(0, |limit| limit.table_bytes());
    server::fit_body(reader, &mut server, says_body, table_bytes);
    let global = root.section("global", cloudwatch::read_global);
    let log = root.section("log", cloudwatch::read_log);
    let relabel_configs = relabel::read(root, "relabel_configs");
    let deadline = server.request_deadline;
    let entries = root.sections("remote_write", |section| {
        (section.path.clone(), remote_write::read(section, deadline))
    });
    if entries.as_ref().is_none_or(Vec::is_empty) {
        reader.fault(
            "remote_write",
            format!("no destination: list one, or set the environment variable {URL_VARIABLE}"),
        );
    }
    let entries = entries.unwrap_or_default();
    let listed = entries.len();
    let entries = entries.into_iter();
    let mut destinations: Vec<_> =
        entries.filter_map(|(path, read)| read.map(|destination| (path, destination))).collect();
    // Samples of a destination that vanished would be answered 200 and lost: whatever made it vanish,
    // there is no configuration without it.
    if destinations.len() < listed && reader.is_faultless() {
        reader.fault("remote_write", "a destination that is listed cannot be used");
    }
    let keyless = server.access_keys.is_empty() && !server.insecure_allow_unauthenticated;
    if keyless && reader.is_faultless() {
        reader.fault("server.access_keys", "no key that is listed can be used");
    }
    remote_write::settle_names(reader, &mut destinations);
    for (path, destination) in &destinations {
        if remote_write::travels_in_clear(destination) {
            reader.note(&format!("{path}.url"), "http:// sends the credentials in clear text");
        }
    }
    if !destinations.is_empty() && destinations.iter().all(|(_, one)| !one.required) {
        reader.note(
            "remote_write",
            "no destination is required: every request is answered 200, whatever becomes of its \
             samples",
        );
    }
    note_memory(reader, &destinations);
    let remote_write = destinations.into_iter().map(|(_, destination)| destination).collect();
    Config { server, telemetry, cloudwatch, global, relabel_configs, remote_write, log }
}

/// Each courier, one per lane, writes, compresses and sends requests of its own: that memory is none of the budget's.
fn note_memory(reader: &Reader<'_>, destinations: &[(String, Destination)]) {
    let of_one = |(_, one): &(String, Destination)| {
        u64::from(one.queue_config.max_shards)
            .saturating_mul(one.queue_config.max_bytes_per_send)
            .saturating_mul(LANE_BUFFERS)
    };
    let all = destinations.iter().map(of_one).fold(0, u64::saturating_add);
    if all > LANES_BYTES_USUAL {
        let message = format!(
            "requests under way may take {} of memory beside the budget (max_shards x \
             max_bytes_per_send x {LANE_BUFFERS}, summed over the destinations)",
            format_bytes(all >> 20 << 20)
        );
        reader.note("remote_write", message);
    }
}

/// What the text leaves out altogether is taken from the two variables: an empty text and they are a
/// configuration. A configuration that wants no key gets none.
fn fill_from_environment(root: &mut Node, env: &dyn Fn(&str) -> Option<String>) {
    if matches!(root.value, Value::Null) {
        root.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut root.value else { return };
    let set = |name| env(name).is_some_and(|value| !value.trim().is_empty());
    if set(URL_VARIABLE) && is_absent(entries, "remote_write") {
        put(entries, "remote_write", "url", URL_VARIABLE);
    }
    if !set(KEY_VARIABLE) {
        return;
    }
    if is_absent(entries, "server") {
        entries.retain(|entry| entry.key != "server");
        let value = node(Value::Map(Vec::new()));
        entries.push(Entry { key: "server".to_owned(), mark: value.mark, value });
    }
    let server = entries.iter_mut().find(|entry| entry.key == "server");
    if let Some(Entry { value: Node { value: Value::Map(server), .. }, .. }) = server
        && is_absent(server, "access_keys")
        && is_absent(server, "insecure_allow_unauthenticated")
    {
        put(server, "access_keys", "key", KEY_VARIABLE);
    }
}

fn is_absent(entries: &[Entry], key: &str) -> bool {
    !entries.iter().any(|entry| entry.key == key && !matches!(entry.value.value, Value::Null))
}

/// Adds `list: [{ key: "${variable}" }]`.
fn put(entries: &mut Vec<Entry>, list: &str, key: &str, variable: &str) {
    let text = node(Value::Scalar { text: format!("${{{variable}}}"), plain: false });
    let item = node(Value::Map(vec![Entry { key: key.to_owned(), mark: text.mark, value: text }]));
    let value = node(Value::List(vec![item]));
    entries.retain(|entry| entry.key != list);
    entries.push(Entry { key: list.to_owned(), mark: value.mark, value });
}

/// A node that stands nowhere in the text: on line 0.
fn node(value: Value) -> Node {
    Node { mark: NOWHERE, value }
}

const NOWHERE: Mark = Mark { line: 0, column: 0 };

/// A fault in what came from a variable is the variable's.
fn name_the_variable(mut fault: Fault) -> Fault {
    if fault.mark != Some(NOWHERE) {
        return fault;
    }
    fault.mark = None;
    fault.path = match fault.path.split('[').next() {
        Some("remote_write") => URL_VARIABLE.to_owned(),
        Some("server.access_keys") => KEY_VARIABLE.to_owned(),
        _ => fault.path,
    };
    fault
}

/// Reads a text that holds every optional section, and lists what was asked for.
pub(super) fn settings() -> Vec<String> {
    const EVERY_SECTION: &str = "
server: { access_keys: [{}], tls_config: {} }
cloudwatch: { statistics_rules: [{}], series_limit: {} }
relabel_configs: [{}]
remote_write: [{ sigv4: {}, basic_auth: {}, authorization: {}, write_relabel_configs: [{}] }]
";
    let env = |_: &str| None;
    let Some(root) = parse(EVERY_SECTION).0 else { return Vec::new() };
    let reader = Reader::new(&env, None, Vec::new());
    read_section(&reader, "", Some(&root), false, |section| read_root(section, None));
    reader.findings().settings.into_iter().collect()
}
