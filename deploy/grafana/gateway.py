"""Operating the gateway: does data arrive, is it fresh, and if not, why."""

from panels import bars, dashboard, graph, stat, steps, text, values_of

MINE = 'job=~"$job", instance=~"$instance"'
TO = f'{MINE}, destination=~"$destination"'
OF = f'{MINE}, stream=~"$stream"'
RATE = "[$__rate_interval]"

# Firehose delivers every minute or so: what is taken over less jumps.
AGE_P90 = f"histogram_quantile(0.9, sum by (le) (rate(sluicegate_datapoint_age_seconds_bucket{{{MINE}}}[5m])))"
ASKED = f'rate(sluicegate_firehose_requests_total{{{MINE}}}[5m])'
LOST = f"""sum(increase(sluicegate_samples_refused_total{{{TO}}}[1h]))
    + sum(increase(sluicegate_samples_total{{{TO}, outcome=~"aged_out|too_new|dropped"}}[1h]))"""
DELIVERED = f'rate(sluicegate_samples_total{{{TO}, outcome=~"delivered|partial"}}[10m])'
# Of 30 days, in units of ten million samples.
PER_MONTH = "* 30 * 86400 / 1e7 * $price"

ANSWERS = [
    stat("Samples stored per second", f"sum({DELIVERED})", unit="cps", decimals=1,
         thresholds=steps("red", (0.001, "green")), runbook="sluicegatedatastopped",
         bad="Samples that destinations have stored, over ten minutes. Bad: 0, nothing gets through."),
    stat("Age of data when delivered", AGE_P90, unit="s", decimals=0,
         thresholds=steps("green", (300, "orange"), (600, "red")), runbook="sluicegatedatalate",
         bad="Nine of ten data points were younger than this, counted from the end of their period. 2 to 4 minutes are usual. "
             "Bad: more than 5 minutes, graphs and alerts lag; more than 10, AMP may refuse what was overtaken."),
    stat("Longest silence of a stream", f"max(time() - max by (job, stream) (sluicegate_stream_last_success_timestamp_seconds{{{OF}}}))",
         unit="s", decimals=0, thresholds=steps("green", (300, "orange"), (600, "red")), runbook="sluicegatestreamstalled",
         bad="Since a batch of the quietest stream was last acknowledged. Bad: more than 5 minutes, when batches come every minute."),
    stat("Requests answered 200", f"sum(rate(sluicegate_firehose_requests_total{{{MINE}, code=\"200\"}}[5m])) / sum({ASKED})",
         unit="percentunit", decimals=1, thresholds=steps("red", (0.9, "orange"), (0.99, "green")), runbook="sluicegatedatastopped",
         bad="Of Firehose's requests within five minutes. Bad: less than 99 %. Firehose repeats the others, so that data comes late."),
    stat("Refused or left out, last hour", LOST, unit="short", decimals=0,
         thresholds=steps("green", (1, "orange"), (1000, "red")), runbook="sluicegaterefusedfortime",
         bad="Samples that a destination refused for good, or that were too old, too new or dropped for it. Bad: more than 0; they are lost there. "
             "Where a receiver names only the first refused sample of a request (AMP), this is a lower bound."),
    stat("Cost of ingestion per month", f"sum({DELIVERED}) {PER_MONTH}", unit="currencyUSD", decimals=2, runbook="sluicegateserieslimitreached",
         bad="What 30 days of the present rate cost at $price dollars per 10 million samples (AMP's first tier; choose the destination that bills). "
             "Storage, queries and the stream itself are not in it. Bad: a step upwards; see samples by destination and data points by namespace."),
]

ARRIVING = [
    graph("Requests by answer", (f"sum by (code) (rate(sluicegate_firehose_requests_total{{{MINE}}}{RATE}))", "{{code}}"),
          unit="reqps", stacked=True, runbook="sluicegatedatastopped",
          bad="Bad: anything but 200. 401 and 403: access key, ARN or account. 400: not Firehose's format. 503: no room, a destination "
              "that fails, or shutting down. 500: a fault of the gateway."),
    graph("Data points by stream", (f"sum by (stream) (rate(sluicegate_stream_datapoints_total{{{OF}}}{RATE}))", "{{stream}}"),
          unit="cps", stacked=True, runbook="sluicegatestreamstalled",
          bad="Decoded, repeated requests included. Bad: a stream that ends, or one that grows for no reason of yours."),
    graph("Data points by namespace", (f"topk(15, sum by (namespace) (rate(sluicegate_datapoint_age_seconds_count{{{MINE}}}{RATE})))", "{{namespace}}"),
          unit="cps", stacked=True, runbook="sluicegateserieslimitreached",
          bad="Delivered; the 15 largest. Bad: a namespace that is larger than it is worth. Leave it out of the stream, or some of its statistics "
              "(cloudwatch.statistics_rules)."),
    graph("Age by namespace", (f"histogram_quantile(0.9, sum by (namespace, le) (rate(sluicegate_datapoint_age_seconds_bucket{{{MINE}}}[5m])))", "{{namespace}}"),
          unit="s", thresholds=steps("green", (300, "orange"), (600, "red")), runbook="sluicegatedatalate",
          bad="Nine of ten data points were younger. Bad: above 5 minutes. A few namespaces: CloudWatch publishes them late (once a day, some). All: the gateway or its destination."),
    graph("Silence of each stream", (f"time() - max by (stream) (sluicegate_stream_last_success_timestamp_seconds{{{OF}}})", "{{stream}}"),
          unit="s", thresholds=steps("green", (300, "orange"), (600, "red")), runbook="sluicegatestreamstalled",
          bad="Since its last request that was answered 200. Bad: a line that climbs beyond 5 minutes."),
    graph("Time to answer", *[(f"histogram_quantile({q}, sum by (le) (rate(sluicegate_firehose_request_duration_seconds_bucket{{{MINE}}}[5m])))", name)
                              for q, name in [(0.5, "half of them"), (0.99, "99 of 100")]],
          unit="s", thresholds=steps("green", (60, "orange"), (150, "red")), runbook="sluicegatedatalate",
          bad="From headers to answer, which waits for every required destination. Bad: near 150 s, the default request_deadline, where requests are given up."),
    graph("Skipped as undecodable", (f"sum by (reason) (rate(sluicegate_records_skipped_total{{{MINE}}}{RATE}))", "{{reason}}"),
          unit="cps", runbook="sluicegateundecodable",
          bad="Records, lines, frames and data points. Bad: more than 0; something else than metrics is in a stream. What is skipped is lost."),
    graph("Data points by format", (f"sum by (format) (rate(sluicegate_datapoints_total{{{MINE}}}{RATE}))", "{{format}}"),
          unit="cps", stacked=True, runbook="sluicegateundecodable",
          bad="Told from the bytes. Bad: a format that no stream of yours is set to."),
    bars("Access keys: last used", f"time() - max by (key) (sluicegate_access_key_last_used_timestamp_seconds{{{MINE}}} > 0)",
         unit="s", thresholds=steps("green", (3600, "blue")), runbook="sluicegateoldaccesskeyused",
         bad="How long ago, by key. Bad: an old key that is green. One that has been blue for longer than your streams rest may be taken out."),
]

ROOM = [
    graph("Budget in use", (f"sluicegate_budget_used_bytes{{{MINE}}} / sluicegate_budget_bytes{{{MINE}}}", "{{instance}}"),
          unit="percentunit", maximum=1, thresholds=steps("green", (0.8, "orange"), (0.95, "red")), runbook="sluicegatebudgetexhausted",
          bad="Bytes of requests that are held until their samples are settled, as part of server.budget. Bad: near 100 %, where requests are answered 503."),
    graph("Refused for want of room", (f"sum by (key, reason) (rate(sluicegate_firehose_requests_refused_total{{{MINE}}}{RATE}))", "{{key}} {{reason}}"),
          unit="reqps", runbook="sluicegatebudgetexhausted",
          bad="By access key and reason. Bad: more than 0 for minutes. destination: a slow destination holds its share; key_budget: one key holds "
              "its part; budget: too few tasks or too small a budget."),
    graph("Budget by access key", (f"sum by (key) (sluicegate_access_key_budget_used_bytes{{{MINE}}})", "{{key}}"),
          unit="bytes", stacked=True, runbook="sluicegatebudgetexhausted",
          bad="Bytes that requests with each key hold. Bad: one key that holds nearly all while others are refused."),
]

DESTINATIONS = [
    graph("Samples by outcome", (f"sum by (destination, outcome) (rate(sluicegate_samples_total{{{TO}}}{RATE}))", "{{destination}} {{outcome}}"),
          unit="cps", stacked=True, runbook="sluicegatedeliverygivenup",
          bad="Bad: lost (given up in this request, Firehose sends them again), refused, aged_out, too_new, dropped (gone for this destination), "
              "partial (the receiver stored some of the request and refused at least one)."),
    graph("Refused samples by reason", (f"sum by (destination, reason) (rate(sluicegate_samples_refused_total{{{TO}}}{RATE}))", "{{destination}} {{reason}}"),
          unit="cps", runbook="sluicegaterefusedfortime",
          bad="Bad: more than 0. out_of_order and too_old: the receiver's window; limit: its quotas; duplicate: two writers; other: see the log."),
    graph("Remote-write requests by answer", (f"sum by (destination, code) (rate(sluicegate_remote_write_requests_total{{{TO}}}{RATE}))", "{{destination}} {{code}}"),
          unit="reqps", stacked=True, runbook="sluicegatedestinationfailing",
          bad="Bad: error (no answer came), 5xx, 429 (a quota), 401 and 403 (credentials), 404 (URL or workspace)."),
    graph("Time of remote-write requests", (f"histogram_quantile(0.99, sum by (destination, le) (rate(sluicegate_remote_write_request_duration_seconds_bucket{{{TO}}}[5m])))", "{{destination}}"),
          unit="s", thresholds=steps("green", (5, "orange"), (30, "red")), runbook="sluicegatedeliverygivenup",
          bad="99 of 100 were quicker. Bad: above some seconds; near remote_timeout (30 s by default) requests count as failed."),
    graph("Lanes busy", (f"sum by (destination) (rate(sluicegate_remote_write_request_duration_seconds_sum{{{TO}}}[5m])) / sum by (destination) (sluicegate_remote_write_lanes{{{TO}}})", "{{destination}}"),
          unit="percentunit", maximum=1, thresholds=steps("green", (0.7, "orange"), (0.9, "red")), runbook="sluicegatedatalate",
          bad="Requests that wait for an answer, of as many as may (one for each lane). Bad: above 70 %, batches queue. Raise max_shards "
              "or add tasks, unless the receiver is what is slow."),
    graph("Samples in flight", (f"sum by (destination) (sluicegate_samples_in_flight{{{TO}}})", "{{destination}}"),
          unit="short", runbook="sluicegatedeliverygivenup",
          bad="Handed to a destination and not yet settled. Bad: a line that only climbs."),
    graph("Sent again, and to isolate", (f"sum by (destination) (rate(sluicegate_remote_write_retries_total{{{TO}}}{RATE}))", "{{destination}} retries"),
          (f"sum by (destination) (rate(sluicegate_remote_write_isolation_requests_total{{{TO}}}{RATE}))", "{{destination}} isolation"),
          unit="reqps", runbook="sluicegatedestinationfailing",
          bad="Bad: many for minutes. Retries: the destination fails. Isolation: it rolls whole requests back for single bad samples."),
    graph("Credential failures", (f"sum by (destination) (increase(sluicegate_credentials_refreshes_total{{{TO}, result=\"failure\"}}[10m])) or vector(0)", "{{destination}} fetches"),
          (f"sum by (destination) (increase(sluicegate_remote_write_requests_total{{{TO}, code=~\"401|403\"}}[10m])) or vector(0)", "{{destination}} refused"),
          unit="short", runbook="sluicegatecredentialsfailing",
          bad="Within ten minutes: AWS credentials that could not be fetched, and requests answered 401 or 403. Bad: more than one or two; a single one is mended by itself."),
    graph("Books", (f"sum by (destination) (sluicegate_samples_received_total{{{TO}}} - sum without (outcome) (sluicegate_samples_total{{{TO}}}) - sluicegate_samples_in_flight{{{TO}}})", "{{destination}}"),
          unit="short", minimum=None, runbook="sluicegatebooksunbalanced",
          bad="Samples received, minus their outcomes, minus what is in flight. Bad: other than 0 for long; a scrape under load may see some settled meanwhile."),
]

SERIES = [
    graph("Cost of ingestion per month by destination", (f"sum by (destination) ({DELIVERED}) {PER_MONTH}", "{{destination}}"),
          unit="currencyUSD", runbook="sluicegateserieslimitreached",
          bad="30 days of each moment's rate at $price dollars per 10 million samples. Only the destinations that bill by samples cost this. Bad: a step upwards."),
    graph("Series within an hour", (f"sluicegate_series_last_hour{{{MINE}}}", "{{instance}}"), (f"sluicegate_series_limit{{{MINE}}} > 0 or vector(0)", "limit {{limit}} {{instance}}"),
          unit="short", runbook="sluicegateserieslimitreached",
          bad="Distinct series and cloudwatch.series_limit; both 0 where none is set. Bad: near the limit, beyond which new series are left out."),
    graph("Known data points", (f"sum(rate(sluicegate_series_cache_hits_total{{{MINE}}}[5m])) / (sum(rate(sluicegate_series_cache_hits_total{{{MINE}}}[5m])) + sum(rate(sluicegate_series_cache_misses_total{{{MINE}}}[5m])))", "known"),
          (f"max(sluicegate_series_cache_bytes{{{MINE}}} / sluicegate_series_cache_limit_bytes{{{MINE}}})", "cache in use"),
          unit="percentunit", maximum=1, runbook="sluicegatedatalate",
          bad="Part of the data points whose series were in the cache, and how full it is. Bad: below 90 % for long with a full cache; raise cloudwatch.series_cache. It costs CPU, nothing else."),
]

PROCESS = [
    graph("CPU", (f"rate(process_cpu_seconds_total{{{MINE}}}{RATE})", "{{instance}}"), unit="percentunit", runbook="sluicegatedatalate",
          bad="Of one processor; 100 % is a whole one. Bad: near what the task has (25 % with Fargate's smallest): answers take longer. More tasks or larger ones."),
    graph("Memory", (f"process_resident_memory_bytes{{{MINE}}}", "{{instance}}"), unit="bytes", runbook="sluicegatetelemetrymissing",
          bad="Resident. It stays under server.budget plus 128 MiB with the default series cache. Bad: near the container's limit, where the kernel kills the task; nothing is lost by that."),
    graph("Connections", (f"sum by (instance, listener) (sluicegate_connections{{{MINE}}})", "{{instance}} {{listener}}"), unit="short", runbook="sluicegatebudgetexhausted",
          bad="Open ones. Bad: at max_connections (256 by default) for long."),
    bars("Tasks: time since start", f"time() - process_start_time_seconds{{{MINE}}}", unit="s", thresholds=steps("orange", (600, "green")), runbook="sluicegatetelemetrymissing",
         bad="Bad: tasks that are always young, or fewer than you run."),
    graph("Accepting", (f"sum(sluicegate_ready{{{MINE}}})", "ready"), (f"count(sluicegate_build_info{{{MINE}}})", "running"), unit="short", runbook="sluicegatetelemetrymissing",
          bad="Tasks that accept requests, and tasks that run. Bad: fewer ready than running for longer than a drain (100 s), or fewer than you asked for."),
    graph("Faults", (f"sum(increase(sluicegate_panics_total{{{MINE}}}[10m]))", "panics"), (f"sum(1 - sluicegate_config_last_reload_successful{{{MINE}}})", "configurations not taken"),
          (f"sum(increase(sluicegate_tls_handshake_failures_total{{{MINE}}}[10m]))", "TLS handshakes failed"), unit="short", runbook="sluicegatepanicked",
          bad="Bad: more than 0. A panic is a fault of the gateway; a configuration that was not taken keeps the next task from starting."),
]

BOARD = dashboard(
    uid="sluicegate-gateway", title="Sluicegate: gateway", tags=["sluicegate", "gateway"], since="now-6h",
    description="Does data arrive, how fresh is it, and where does it stand if not. Works with AMP and Prometheus; shows the gateway's own /metrics.",
    see_also=("AWS overview", "aws"),
    variables=[
        values_of("job", "Job", "sluicegate_build_info", "job"),
        values_of("instance", "Task", 'sluicegate_build_info{job=~"$job"}', "instance"),
        values_of("destination", "Destination", 'sluicegate_samples_received_total{job=~"$job"}', "destination"),
        values_of("stream", "Stream", 'sluicegate_stream_datapoints_total{job=~"$job"}', "stream"),
        text("price", "$ per 10M samples", "0.90", "AMP's price of ingestion; 0.90 is its first tier in most regions."),
    ],
    rows=[("", ANSWERS), ("Arriving", ARRIVING), ("Room", ROOM), ("Destinations", DESTINATIONS), ("Series and cost", SERIES), ("Tasks", PROCESS)],
)
