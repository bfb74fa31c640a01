//! The fields of our own objects, from their definitions.

use std::fmt::Write as _;

use kube::CustomResourceExt as _;
use serde_json::Value;

use super::{cell, table};
use crate::cluster::store::{Application, Freeze, Promotion};

pub fn fields() -> String {
    let mut text = String::from(
        "windlass keeps its state in these objects, in its own namespace. `kubectl get applications.windlass.dev,promotions.windlass.dev,freezes.windlass.dev` lists them, and `kubectl wait --for=condition=Synced` waits. People set annotations, and may create and delete a `Freeze`; windlass writes the rest.\n",
    );
    let definitions = [
        ("Application", Application::crd()),
        ("Promotion", Promotion::crd()),
        ("Freeze", Freeze::crd()),
    ];
    for (kind, definition) in definitions {
        let definition = serde_json::to_value(&definition).unwrap_or_default();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let _ = write!(text, "\n## {kind}\n\n{}\n", description(schema));
        let mut rows = Vec::new();
        for part in ["spec", "status"] {
            let properties = schema["properties"][part]["properties"].as_object();
            for (name, field) in properties.into_iter().flatten() {
                rows.push(format!(
                    "| `.{part}.{name}` | {} |",
                    cell(description(field))
                ));
            }
        }
        let _ = write!(text, "\n{}", table("| field | holds |", rows.into_iter()));
    }
    text
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}
