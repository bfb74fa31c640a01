//! Values that the server allocates when an object is really written: a dry-run answers with other
//! ones.

use serde_json::Value;

use crate::domain::Live;

/// Removes values that the server allocates on creation, unless `than` (the manifest or the live
/// object) has them.
pub fn without_allocated(after: &mut Value, than: &Value) {
    match after["kind"].as_str() {
        Some("Service") => {
            if let Some(spec) = after["spec"].as_object_mut() {
                for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
                    if than["spec"][field].is_null() {
                        spec.remove(field);
                    }
                }
                for (index, port) in spec
                    .get_mut("ports")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                    .enumerate()
                {
                    if than["spec"]["ports"][index]["nodePort"].is_null()
                        && let Some(port) = port.as_object_mut()
                    {
                        port.remove("nodePort");
                    }
                }
            }
        }
        // A Job's pods have a label with the Job's uid.
        Some("Job") => {
            for path in [
                "/metadata/labels",
                "/spec/selector/matchLabels",
                "/spec/template/metadata/labels",
            ] {
                let wanted = than.pointer(path).cloned().unwrap_or_default();
                if let Some(labels) = after.pointer_mut(path).and_then(Value::as_object_mut) {
                    labels.retain(|name, _| {
                        !name.ends_with("controller-uid") || wanted.get(name).is_some()
                    });
                }
            }
        }
        _ => {}
    }
}

/// Removes values from a changed Service that the server allocates with the change, such as a node
/// port when its type changes: the real ones will differ from the dry-run's. True: there were some.
pub fn without_newly_allotted(after: &mut Value, than: &Value, live: &Live) -> bool {
    if after["kind"] != "Service" || after["apiVersion"] != "v1" {
        return false;
    }
    let mut allotted = false;
    for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
        if !after["spec"][field].is_null()
            && than["spec"][field].is_null()
            && live["spec"][field] != after["spec"][field]
        {
            allotted |= after["spec"]
                .as_object_mut()
                .and_then(|spec| spec.remove(field))
                .is_some();
        }
    }
    let ports = |value: &Value| {
        value["spec"]["ports"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let (wanted, known) = (ports(than), ports(live));
    for port in after["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let same = |other: &&Value| {
            other["port"] == port["port"]
                && other["protocol"].as_str().unwrap_or("TCP") == port["protocol"]
        };
        let given = wanted
            .iter()
            .find(same)
            .is_some_and(|port| !port["nodePort"].is_null());
        let is_live = known
            .iter()
            .find(same)
            .is_some_and(|live| live["nodePort"] == port["nodePort"]);
        if !port["nodePort"].is_null() && !given && !is_live {
            allotted |= port
                .as_object_mut()
                .and_then(|port| port.remove("nodePort"))
                .is_some();
        }
    }
    allotted
}
