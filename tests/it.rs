//! All integration tests, in one binary: each module says in a sentence what it holds the house to.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs, unreachable_pub)]

/// A front of Amazon Managed Service for Prometheus that verifies signatures and bodies itself.
#[path = "it/amp_front.rs"]
mod amp_front;

/// Imports, sizes and names of the sources, and what the README says of the code.
#[path = "it/architecture.rs"]
mod architecture;

/// The configuration: every fault at once, every default, and no secret shown.
#[path = "it/config.rs"]
mod config;

/// The limit of series in the configuration, and what it takes of the budget.
#[path = "it/config_series_limit.rs"]
mod config_series_limit;

/// What `server.tls_config` may say, and what `check` says of its files.
#[path = "it/config_tls.rs"]
mod config_tls;

/// Decode: every fact of the stream formats has a fixture; records in, one line per reading out.
#[path = "it/decode_fixtures.rs"]
mod decode_fixtures;

/// Decode: what is known by a glimpse is what full reading shows; one trap after the other.
#[path = "it/decode_glimpse.rs"]
mod decode_glimpse;

/// Decode: generated input, held against serde_json and prost; damage costs no more than it must.
#[path = "it/decode_oracle.rs"]
mod decode_oracle;

/// Decode: what OTLP allows beyond what CloudWatch is known to send, and its damage.
#[path = "it/decode_otlp.rs"]
mod decode_otlp;

/// Credentials that rotate, expire and fail, in paused time.
#[path = "it/deliver_credentials.rs"]
mod deliver_credentials;

/// What goes out in a request: every sample once, as prost writes it, each series in order.
#[path = "it/deliver_encode.rs"]
mod deliver_encode;

/// What each answer of a receiver means: the table, and the answers of real receivers replayed.
#[path = "it/deliver_judge.rs"]
mod deliver_judge;

/// Requests to one destination: signatures, other proofs, faults, metadata.
#[path = "it/deliver_remote.rs"]
mod deliver_remote;

/// TLS with certificates of one's own.
#[path = "it/deliver_tls.rs"]
mod deliver_tls;

/// The demo's receiver counts what comes, and the books find every sample that does not fit.
#[path = "it/demo_books.rs"]
mod demo_books;

/// The demo's stream, sent to a gateway that runs elsewhere.
#[path = "it/demo_feed.rs"]
mod demo_feed;

/// The demo's Firehose keeps the documented delivery, validation and retry rules.
#[path = "it/demo_firehose.rs"]
mod demo_firehose;

/// The demo as a whole: the real gateway between the demo's two ends.
#[path = "it/demo_run.rs"]
mod demo_run;

/// The demo's records decode by independent means to the data points that were put in.
#[path = "it/demo_stream.rs"]
mod demo_stream;

/// The agents of `deploy/` that watch the gateway ask for metrics that exist, where Terraform puts them.
#[path = "it/deploy_agents.rs"]
mod deploy_agents;

/// The configurations of `deploy/`: one with every setting, and small ones for the common cases.
#[path = "it/deploy_configuration.rs"]
mod deploy_configuration;

/// The README's costs follow from the prices and formulas beside them.
#[path = "it/deploy_costs.rs"]
mod deploy_costs;

/// The dashboards as files: current, whole, and for any data source of Prometheus's kind.
#[path = "it/deploy_dashboards.rs"]
mod deploy_dashboards;

/// What stands in `deploy/prometheus` and `deploy/grafana`, read.
#[path = "it/deploy_files.rs"]
mod deploy_files;

/// The image and what starts it, in containers and without, held against the code and Terraform.
#[path = "it/deploy_image.rs"]
mod deploy_image;

/// Every query of dashboards and rules, asked of a real Prometheus that holds a demo's traffic.
#[path = "it/deploy_queries.rs"]
mod deploy_queries;

/// The rules, their tests and their runbook.
#[path = "it/deploy_rules.rs"]
mod deploy_rules;

/// The whole house: what comes again is not sent again.
#[path = "it/end_to_end_again.rs"]
mod end_to_end_again;

/// The whole house: bodies as large as Firehose may send, empty records, foreign records.
#[path = "it/end_to_end_bulk.rs"]
mod end_to_end_bulk;

/// The whole house: several destinations, some of them dead, slow or choosy.
#[path = "it/end_to_end_destinations.rs"]
mod end_to_end_destinations;

/// The whole house: every format into a real Prometheus and back out of it, to the bit.
#[path = "it/end_to_end_formats.rs"]
mod end_to_end_formats;

/// The whole house: a real Prometheus stores every good sample beside a bad one.
#[path = "it/end_to_end_isolation.rs"]
mod end_to_end_isolation;

/// The whole house: a real Prometheus stops and freezes under load, and nothing is missing.
#[path = "it/end_to_end_outage.rs"]
mod end_to_end_outage;

/// The whole house: more series than may be, and samples ahead of the clock.
#[path = "it/end_to_end_series_limit.rs"]
mod end_to_end_series_limit;

/// The whole house: stopped under load, it answers what it took on.
#[path = "it/end_to_end_shutdown.rs"]
mod end_to_end_shutdown;

/// The whole house: every request carries a signature that holds.
#[path = "it/end_to_end_signed.rs"]
mod end_to_end_signed;

/// The whole house: its metrics, its pages, and no secret among them.
#[path = "it/end_to_end_telemetry.rs"]
mod end_to_end_telemetry;

/// The whole house: what each answer of a receiver becomes at the door.
#[path = "it/end_to_end_verdicts.rs"]
mod end_to_end_verdicts;

/// What becomes of samples where peers lose them, one test per surprise.
#[path = "it/field_delivery.rs"]
mod field_delivery;

/// What senders have surprised receivers with: headers, bodies and answers, one test for each.
#[path = "it/field_door.rs"]
mod field_door;

/// A whole house between requests written by hand and a receiver that records.
#[path = "it/field_kit.rs"]
mod field_kit;

/// What senders have surprised receivers with: a row of a fixture and a test for each.
#[path = "it/field_surprises.rs"]
mod field_surprises;
/// Everything that reads bytes from outside: the fuzz targets over their corpus, and beyond it.
#[path = "it/fuzz.rs"]
mod fuzz;

/// A whole house on free ports, and what must come of what is sent to it.
#[path = "it/house.rs"]
mod house;

/// Retry, split, isolation, age-out, deadlines and the books, in paused time.
#[path = "it/lane.rs"]
mod lane;

/// Lanes between hand-made batches and a scripted receiver.
#[path = "it/lane_kit.rs"]
mod lane_kit;

/// Who empties which lanes.
#[path = "it/lane_shared.rs"]
mod lane_shared;

/// The memory of requests does what a naive one does.
#[path = "it/ledger.rs"]
mod ledger;

/// The load-test kit's smoke scenario: vegeta, the built program, and books that balance.
#[path = "it/loadtest_smoke.rs"]
mod loadtest_smoke;

/// Requests become batches: lanes, repeats, freshness, families, the series cache.
#[path = "it/map_batch.rs"]
mod map_batch;

/// Malformed bodies and headers by the hundred, each answered within the contract.
#[path = "it/malformed_bodies.rs"]
mod malformed_bodies;

/// HTTP as senders, proxies and scanners bend it, byte by byte over a real connection.
#[path = "it/malformed_wire.rs"]
mod malformed_wire;

/// Data points named by their raw bytes become what they become when they are read.
#[path = "it/map_glimpse.rs"]
mod map_glimpse;

/// What the tests of the mapping share.
#[path = "it/map_kit.rs"]
mod map_kit;

/// Data points become series: names, labels, values, statistics.
#[path = "it/map_series.rs"]
mod map_series;

/// The limit of series, per hour and namespace: exact, and the same however a body is decoded.
#[path = "it/map_series_limit.rs"]
mod map_series_limit;

/// `check`, `explain`, `healthcheck` and `demo` as processes: what they print, and how they end.
#[path = "it/process_commands.rs"]
mod process_commands;

/// The process killed again and again, beside a Prometheus that is: nothing acknowledged is missing.
#[path = "it/process_kill.rs"]
mod process_kill;

/// What the process weighs under all that may arrive.
#[path = "it/process_memory.rs"]
mod process_memory;

/// The process under floods: bombs, too many bodies at once, headers without an end.
#[path = "it/process_overload.rs"]
mod process_overload;

/// What the process tells of itself: fields, and no secret.
#[path = "it/process_secrets.rs"]
mod process_secrets;

/// `serve` as a process: SIGHUP and `/-/reload`.
#[path = "it/process_reload.rs"]
mod process_reload;

/// `serve` as a process: how it starts and how it stops.
#[path = "it/process_serve.rs"]
mod process_serve;

/// The program as a process, and a receiver for it.
#[path = "it/process_kit.rs"]
mod process_kit;

/// A real Prometheus: the harness, and that it tells the truth.
#[path = "it/prometheus.rs"]
mod prometheus;

/// Remote write as prost messages.
#[path = "it/prompb.rs"]
mod prompb;

/// Scripts in Python: implementations that are not ours.
#[path = "it/python.rs"]
mod python;

/// Requests that come again: joined, remembered, resumed.
#[path = "it/receive_again.rs"]
mod receive_again;

/// What makes a request another one, and what is remembered of slices.
#[path = "it/receive_again_content.rs"]
mod receive_again_content;

/// Requests that come again after the configuration has changed.
#[path = "it/receive_again_reload.rs"]
mod receive_again_reload;

/// Every row of the status table, and what a request leaves behind.
#[path = "it/receive_answers.rs"]
mod receive_answers;

/// Bodies of every size and kind, and what they may cost.
#[path = "it/receive_bodies.rs"]
mod receive_bodies;

/// A door with lanes behind it, and the checker that every answer has to pass.
#[path = "it/receive_door.rs"]
mod receive_door;

/// What one access key can take of the budget, and what the others keep.
#[path = "it/receive_fairness.rs"]
mod receive_fairness;

/// Who may come in: keys, their rotation, their sources.
#[path = "it/receive_keys.rs"]
mod receive_keys;

/// When all connections are taken: who goes, and who never does.
#[path = "it/receive_places.rs"]
mod receive_places;

/// TLS on the ingest listener: versions, clients' certificates, rotation, and peers that spoil it.
#[path = "it/receive_tls.rs"]
mod receive_tls;

/// TLS that is turned on, off or tightened while connections are open.
#[path = "it/receive_tls_replaced.rs"]
mod receive_tls_replaced;

/// The door behind a real listener: connections, their limits, and their ends.
#[path = "it/receive_wire.rs"]
mod receive_wire;

/// Relabelling ends as it does in Prometheus, case by case.
#[path = "it/relabel_golden.rs"]
mod relabel_golden;

/// A new configuration for a running house: nothing is refused, and what follows it does so at once.
#[path = "it/reload.rs"]
mod reload;

/// Every credential and key replaced under load, without one refused request.
#[path = "it/rotation.rs"]
mod rotation;

/// Senders that go on while something is replaced.
#[path = "it/rotation_kit.rs"]
mod rotation_kit;

/// Certificates and authorities of a destination replaced under load.
#[path = "it/rotation_tls.rs"]
mod rotation_tls;

/// Every kind of secret is looked for in all that is written, and in the debug output of what holds it.
#[path = "it/secrets.rs"]
mod secrets;

/// Signatures on the wire, held against botocore's.
#[path = "it/sigv4_botocore.rs"]
mod sigv4_botocore;

/// Clocks that differ by minutes and days: signatures are dated by the receiver's.
#[path = "it/sigv4_clock.rs"]
mod sigv4_clock;

/// Every source of AWS credentials, from the environment to an assumed role, in the real process.
#[path = "it/sigv4_sources.rs"]
mod sigv4_sources;

/// The whole gateway in simulated worlds: hundreds of seeds, each with faults of its own.
#[path = "it/sim.rs"]
mod sim;

/// A simulated world: the gateway's own books, held against what the world knows.
#[path = "it/sim_audit.rs"]
mod sim_audit;

/// A simulated world: what is sent, and what must come of it.
#[path = "it/sim_batches.rs"]
mod sim_batches;

/// The books at the door under random requests, verdicts, hang-ups and reloads.
#[path = "it/sim_books.rs"]
mod sim_books;

/// The real rooms of the gateway, put together without sockets.
#[path = "it/sim_gateway.rs"]
mod sim_gateway;

/// A simulated world: the laws, watched at every request and answer.
#[path = "it/sim_laws.rs"]
mod sim_laws;

/// A simulated world: the lives of the gateway, to a crash or a stop, and the next one.
#[path = "it/sim_life.rs"]
mod sim_life;

/// A simulated world: what a seed means.
#[path = "it/sim_plan.rs"]
mod sim_plan;

/// A simulated world: receivers that store and refuse as Prometheus and Cortex do, and fail.
#[path = "it/sim_receiver.rs"]
mod sim_receiver;

/// A simulated world: Firehose, with clients that hang up.
#[path = "it/sim_sender.rs"]
mod sim_sender;

/// A simulated world: its time, and what survives the gateway.
#[path = "it/sim_world.rs"]
mod sim_world;
