//! The Kubernetes manifests say the same as the code and one another.

use serde_json::{Value, json};
use sluicegate::config::Config;

use super::{
    assert_command, assert_memory_fits, bytes, configured, defaults, deploy, documents, read, texts,
};

/// All manifests, and the one of a kind.
struct Manifests(Vec<Value>);

impl Manifests {
    fn all() -> Self {
        let folder = deploy().join("kubernetes");
        let listed = documents(&folder.join("kustomization.yaml")).remove(0);
        let mut listed: Vec<_> =
            texts(&listed["resources"]).into_iter().map(str::to_owned).collect();
        let there = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut there: Vec<_> = there.map(|name| name.into_string().unwrap()).collect();
        there.retain(|name| name.ends_with(".yaml") && name != "kustomization.yaml");
        listed.sort();
        there.sort();
        assert_eq!(listed, there, "the kustomization lists every manifest");
        Self(there.iter().flat_map(|name| documents(&folder.join(name))).collect())
    }

    fn of(&self, kind: &str) -> &Value {
        self.0.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    fn pod(&self) -> &Value {
        &self.of("Deployment")["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    /// The gateway's configuration, in a container with its limit.
    fn config(&self) -> Config {
        let text = self.of("ConfigMap")["data"]["sluicegate.yaml"].as_str().unwrap();
        configured(text, Some(bytes(&self.container()["resources"]["limits"]["memory"])))
    }

    /// The number of a named port of the container.
    fn port(&self, name: &Value) -> u64 {
        let ports = self.container()["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == *name);
        port.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].as_u64().unwrap()
    }
}

#[test]
fn probes_and_services_meet_the_ports_of_the_code() {
    let manifests = Manifests::all();
    let (config, container) = (manifests.config(), manifests.container());
    let telemetry = u64::from(config.telemetry.listen_address.port());
    let ingest = u64::from(config.server.listen_address.port());
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["path"], path, "{probe}");
        assert_eq!(manifests.port(&get["port"]), telemetry, "{probe}");
    }
    for service in manifests.0.iter().filter(|one| one["kind"] == "Service") {
        let ports = service["spec"]["ports"].as_array().unwrap();
        let wanted = if service["spec"]["clusterIP"] == "None" { telemetry } else { ingest };
        let reached: Vec<_> =
            ports.iter().map(|port| manifests.port(&port["targetPort"])).collect();
        assert_eq!(reached, [wanted], "{}", service["metadata"]["name"]);
    }
    let annotations = &manifests.of("Deployment")["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], telemetry.to_string());
}

#[test]
fn the_command_finds_its_configuration_and_key() {
    let manifests = Manifests::all();
    let (pod, container, config) = (manifests.pod(), manifests.container(), manifests.config());
    assert_command(&texts(&container["args"]));
    assert_eq!(
        container["image"],
        format!("registry.example.com/sluicegate:{}", env!("CARGO_PKG_VERSION"))
    );

    let mounts = container["volumeMounts"].as_array().unwrap();
    let volumes = pod["volumes"].as_array().unwrap();
    let mounted = |source: &str| {
        let volume = volumes.iter().find(|one| one[source].is_object()).unwrap();
        let mount = mounts.iter().find(|one| one["name"] == volume["name"]).unwrap();
        assert_eq!(mount["readOnly"], true, "{source}");
        (mount["mountPath"].as_str().unwrap(), &volume[source])
    };
    let (folder, source) = mounted("configMap");
    assert_eq!(source["name"], manifests.of("ConfigMap")["metadata"]["name"]);
    assert!(texts(&container["args"]).contains(&format!("{folder}/sluicegate.yaml").as_str()));
    // The secret is not in the files; the command that makes it is, and names its key.
    let (folder, source) = mounted("secret");
    let (name, how) = (
        source["secretName"].as_str().unwrap(),
        read(&deploy().join("kubernetes/deployment.yaml")),
    );
    let made = how.split_once(&format!("secret generic {name} --from-file=")).unwrap().1;
    let key = made.split_whitespace().next().unwrap();
    let files: Vec<_> = config.files().map(|path| path.to_str().unwrap().to_owned()).collect();
    assert_eq!(files, [format!("{folder}/{key}")]);
    assert!(manifests.0.iter().all(|one| one["kind"] != "Secret"));
}

#[test]
fn the_drain_ends_before_the_kill_and_the_budget_fits_the_limit() {
    let manifests = Manifests::all();
    let (pod, config) = (manifests.pod(), manifests.config());
    let grace_s = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(config.server.drain_deadline.as_secs() < grace_s, "{grace_s} s");
    // From an endpoint's removal to the last request that still comes: longer than a probe's interval.
    let interval_s = manifests.container()["readinessProbe"]["periodSeconds"].as_u64().unwrap();
    assert!(config.server.shutdown_delay.as_secs() > interval_s);
    let resources = &manifests.container()["resources"];
    assert_eq!(resources["requests"]["memory"], resources["limits"]["memory"]);
    assert_memory_fits(bytes(&resources["limits"]["memory"]));
    let request_deadline = defaults(None).server.request_deadline;
    let service = read(&deploy().join("kubernetes/service.yaml"));
    assert!(
        service.contains(&format!("({}s)", request_deadline.as_secs())),
        "{request_deadline:?}"
    );
}

#[test]
fn pods_are_hardened_spread_and_kept() {
    let manifests = Manifests::all();
    let (pod, container) = (manifests.pod(), manifests.container());
    for (setting, wanted) in [
        ("runAsNonRoot", json!(true)),
        ("runAsUser", json!(65532)),
        ("runAsGroup", json!(65532)),
        ("seccompProfile", json!({ "type": "RuntimeDefault" })),
    ] {
        assert_eq!(pod["securityContext"][setting], wanted, "{setting}");
    }
    let wanted = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(container["securityContext"], wanted);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], manifests.of("ServiceAccount")["metadata"]["name"]);

    let deployment = manifests.of("Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let budget = manifests.of("PodDisruptionBudget");
    for selector in [&deployment["spec"]["selector"], &budget["spec"]["selector"]] {
        assert_eq!(&selector["matchLabels"], labels);
    }
    for service in manifests.0.iter().filter(|one| one["kind"] == "Service") {
        assert_eq!(&service["spec"]["selector"], labels);
    }
    let spread = pod["topologySpreadConstraints"].as_array().unwrap();
    assert!(spread.iter().all(|one| one["labelSelector"]["matchLabels"] == *labels));
    assert!(spread.iter().any(|one| one["topologyKey"] == "topology.kubernetes.io/zone"));

    let scaler = &manifests.of("HorizontalPodAutoscaler")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    assert!(scaler["minReplicas"].as_u64().unwrap() >= 2);
    assert!(deployment["spec"]["replicas"].is_null(), "it is the autoscaler's");
    assert!(budget["spec"]["maxUnavailable"].as_u64() == Some(1));
}
