//! The description of the JSON beside the page, in OpenAPI 3.1 (spec.openapis.org/oas/v3.1.0), made from
//! the types that it answers with.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::{Application, Overview, Page, PullPage};

/// The description.
pub fn description() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let title = [(
        "title",
        "APPLICATION/STAGE, with the cluster where the stage has several",
    )];
    let number = [
        ("owner", "The owner of the config repository"),
        ("name", "Its name"),
        ("number", "The number of the pull request"),
    ];
    let mut paths = json!({
        "/api/overview": answered::<Overview>(&mut schemas, "What needs somebody, every application in every stage, and what happened", &[]),
        "/api/applications/{title}": answered::<Application>(&mut schemas, "One application in one stage", &title),
        "/api/pulls/{owner}/{name}/{number}": answered::<PullPage>(&mut schemas, "An open pull request: its gates, and what it changes", &number),
    });
    paths["/api/stream"] = stream();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "windlass",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the page shows, as JSON. Read-only. Every answer has the frame of its page: version, namespace, time.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas.take_definitions(true)},
    })
}

/// A path that answers with one page.
fn answered<T: JsonSchema>(
    schemas: &mut SchemaGenerator,
    summary: &str,
    parameters: &[(&str, &str)],
) -> Value {
    let schema = schemas.subschema_for::<Page<T>>();
    let parameter = |(name, what): &(&str, &str)| json!({"name": name, "in": "path", "required": true, "description": what, "schema": {"type": "string"}});
    let parameters: Vec<_> = parameters.iter().map(parameter).collect();
    let refused = |why: &str| {
        let of = json!({"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]});
        json!({"description": why, "content": {"application/json": {"schema": of}}})
    };
    json!({"get": {
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            "401": refused("Nobody is signed in, where somebody has to be"),
            "403": refused("Whoever is signed in may read no config repository"),
            "404": refused("There is no such thing, or not for whoever asks"),
            "503": refused("windlass is starting"),
        },
    }})
}

fn stream() -> Value {
    let summary =
        "Server-sent events: one whenever something changed. What it is the other paths tell";
    json!({"get": {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    }})
}
