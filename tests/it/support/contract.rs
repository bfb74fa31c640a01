//! GitHub's official descriptions, held against every exchange of every test.
//!
//! `make contract` fetches them; `WINDLASS_CONTRACT` says where. An operation
//! that the descriptions do not have is a violation, unless it is waived below.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use windlass::sandbox::forge::Exchange;

/// Where an answer of ours departs from the description, and why that is right.
const WAIVERS: &[(&str, &str)] = &[(
    "GET /app/installations 200",
    "the published schema was inlined with `account` as user AND enterprise, which nothing fulfils",
)];

pub struct Contract {
    descriptions: Option<Descriptions>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    violations: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
    operations: BTreeSet<String>,
    validators: HashMap<String, Option<Arc<Validator>>>,
}

struct Descriptions {
    rest: Value,
    webhooks: Value,
    graphql: Valid<Schema>,
    /// Method, path as segments, the operation's key in the document.
    operations: Vec<(String, Vec<String>, String)>,
}

/// Where the descriptions are; an error that says how to get them.
pub fn folder() -> Result<PathBuf, String> {
    let folder = std::env::var_os("WINDLASS_CONTRACT").map(PathBuf::from);
    folder
        .filter(|folder| folder.join(".complete").exists())
        .ok_or_else(|| "GitHub's descriptions are not fetched: run the tests by `make test`".into())
}

impl Contract {
    /// One for the process.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Contract>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                Arc::new(Self {
                    descriptions: folder().ok().map(Descriptions::load),
                    state: Mutex::default(),
                })
            })
            .clone()
    }

    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().violations)
    }

    pub fn see(&self, exchange: &Exchange) {
        let Some(descriptions) = &self.descriptions else {
            return;
        };
        let mut state = self.state.lock().unwrap();
        let before = state.violations.len();
        match (exchange.method.as_str(), exchange.path.as_str()) {
            ("WEBHOOK", name) => {
                let schema =
                    descriptions.webhooks["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
                *state.counts.entry("webhooks").or_default() += 1;
                state.operations.insert(format!("webhook {name}"));
                state.check(
                    &format!("webhook {name}"),
                    schema,
                    &descriptions.webhooks,
                    exchange.request.as_ref(),
                );
            }
            (_, "/graphql") => descriptions.check_graphql(exchange, &mut state),
            _ => descriptions.check_rest(exchange, &mut state),
        }
        if state.violations.len() > before + 20 {
            state.violations.truncate(before + 20);
        }
        let _ = std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/contract.txt"), {
            let counts: Vec<_> = state
                .counts
                .iter()
                .map(|(what, count)| format!("{count} {what}"))
                .collect();
            format!(
                "held against GitHub's descriptions: {}; {} operations; {} waivers\n",
                counts.join(", "),
                state.operations.len(),
                WAIVERS.len()
            )
        });
    }
}

impl State {
    fn check(&mut self, name: &str, schema: Value, document: &Value, instance: Option<&Value>) {
        if WAIVERS.iter().any(|(waived, _)| *waived == name) {
            return;
        }
        let validator = self.validators.entry(name.to_string()).or_insert_with(|| {
            (!schema.is_null())
                .then(|| self_contained(&schema, document))
                .map(|schema| {
                    Arc::new(
                        jsonschema::options()
                            .with_draft(Draft::Draft202012)
                            .build(&schema)
                            .unwrap_or_else(|error| panic!("{name}: {error}")),
                    )
                })
        });
        let Some(validator) = validator.clone() else {
            let words = instance.map(Value::to_string).unwrap_or_default();
            self.violations.push(format!(
                "{name}: GitHub's descriptions have no such thing: {words:.300}"
            ));
            return;
        };
        let Some(instance) = instance else {
            self.violations.push(format!("{name}: there is no body"));
            return;
        };
        for error in validator.iter_errors(instance).take(5) {
            let shown: String = error.to_string().chars().take(300).collect();
            self.violations
                .push(format!("{name}: at {}: {shown}", error.instance_path()));
        }
    }
}

impl Descriptions {
    fn load(folder: PathBuf) -> Self {
        let read = |path: &str| {
            std::fs::read_to_string(folder.join("node_modules/@octokit").join(path))
                .unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let rest: Value =
            serde_json::from_str(&read("openapi/generated/api.github.com.json")).unwrap();
        let webhooks =
            serde_json::from_str(&read("openapi-webhooks/generated/api.github.com.json")).unwrap();
        // Two fields of one type are there twice, which strict readers refuse.
        let graphql = match Schema::parse(read("graphql-schema/schema.graphql"), "schema.graphql") {
            Ok(schema) => schema,
            Err(errors) => errors.partial,
        };
        let mut operations = Vec::new();
        for (path, item) in rest["paths"].as_object().unwrap() {
            for method in ["get", "post", "put", "patch", "delete"]
                .into_iter()
                .filter(|method| !item[method].is_null())
            {
                operations.push((
                    method.to_uppercase(),
                    path.split('/').skip(1).map(str::to_string).collect(),
                    path.clone(),
                ));
            }
        }
        // Literal segments before placeholders.
        operations.sort_by_key(|(_, segments, _): &(String, Vec<String>, String)| {
            segments.iter().filter(|s| s.starts_with('{')).count()
        });
        Self {
            rest,
            webhooks,
            graphql: Valid::assume_valid(graphql),
            operations,
        }
    }

    fn check_rest(&self, exchange: &Exchange, state: &mut State) {
        let parts: Vec<&str> = exchange.path.trim_matches('/').split('/').collect();
        let of = |matching: fn(&[String], &[&str]) -> bool| {
            self.operations.iter().find(|(method, segments, _)| {
                *method == exchange.method && matching(segments, &parts)
            })
        };
        let found = of(matches).or_else(|| of(matches_rest));
        let Some((method, _, path)) = found else {
            // What is not there is asked for on purpose, and answered with 404.
            if exchange.status != 404 {
                state.violations.push(format!(
                    "{} {}: GitHub's description has no such operation",
                    exchange.method, exchange.path
                ));
            }
            return;
        };
        let operation = &self.rest["paths"][path][method.to_lowercase()];
        let name = format!("{method} {path}");
        state.operations.insert(name.clone());
        if exchange.by_app
            && let Some(request) = &exchange.request
        {
            *state.counts.entry("requests of windlass").or_default() += 1;
            let schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
            if exchange.status < 400 {
                unknown_fields(&name, &schema, &self.rest, request, state);
                state.check(
                    &format!("{name} request"),
                    schema,
                    &self.rest,
                    Some(request),
                );
            }
        }
        *state.counts.entry("answers").or_default() += 1;
        let response = resolved(
            &operation["responses"][exchange.status.to_string()],
            &self.rest,
        );
        if matches!(
            exchange.status,
            204 | 304 | 401 | 403 | 404 | 405 | 409 | 410 | 422
        ) && response["content"].is_null()
        {
            return;
        }
        let schema = response["content"]["application/json"]["schema"].clone();
        state.check(
            &format!("{name} {}", exchange.status),
            schema,
            &self.rest,
            exchange.response.as_ref(),
        );
    }

    fn check_graphql(&self, exchange: &Exchange, state: &mut State) {
        let query = exchange
            .request
            .as_ref()
            .and_then(|request| request["query"].as_str())
            .unwrap_or_default()
            .to_string();
        *state.counts.entry("GraphQL documents").or_default() += 1;
        state.operations.insert(query.clone());
        if let Err(error) =
            ExecutableDocument::parse_and_validate(&self.graphql, &query, "query.graphql")
        {
            state.violations.push(format!("GraphQL: {}", error.errors));
        }
    }
}

fn matches(segments: &[String], parts: &[&str]) -> bool {
    segments.len() == parts.len()
        && segments
            .iter()
            .zip(parts)
            .all(|(s, p)| s.starts_with('{') || s == p)
}

/// `{ref}`, `{path}` and `{branch}` stand for the rest of the path.
fn matches_rest(segments: &[String], parts: &[&str]) -> bool {
    let Some((last, first)) = segments.split_last() else {
        return false;
    };
    ["{ref}", "{path}", "{branch}"].contains(&last.as_str())
        && parts.len() > first.len()
        && matches(first, &parts[..first.len()])
}

/// A description allows further fields nearly everywhere; windlass must send none that it does not
/// name.
fn unknown_fields(
    name: &str,
    schema: &Value,
    document: &Value,
    request: &Value,
    state: &mut State,
) {
    let schema = resolved(schema, document);
    let mut known: BTreeSet<String> = BTreeSet::new();
    let parts = [&schema["oneOf"], &schema["anyOf"], &schema["allOf"]]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .cloned();
    for part in parts.chain([schema.clone()]) {
        known.extend(
            resolved(&part, document)["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone()),
        );
    }
    for key in request
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
    {
        if !known.contains(key) {
            state.violations.push(format!(
                "{name}: windlass sends `{key}`, which GitHub's description does not name"
            ));
        }
    }
}

fn resolved(value: &Value, document: &Value) -> Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .cloned()
            .unwrap_or_default(),
        None => value.clone(),
    }
}

/// The schema with everything that it refers to, as JSON Schema: `nullable` becomes a type.
fn self_contained(schema: &Value, document: &Value) -> Value {
    let mut definitions = serde_json::Map::new();
    let mut root = rewritten(schema, document, &mut definitions);
    if !definitions.is_empty() {
        root["$defs"] = Value::Object(definitions);
    }
    root
}

fn rewritten(
    schema: &Value,
    document: &Value,
    definitions: &mut serde_json::Map<String, Value>,
) -> Value {
    match schema {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                let name = reference
                    .trim_start_matches("#/")
                    .replace(['/', '~', '%'], "_");
                if !definitions.contains_key(&name) {
                    definitions.insert(name.clone(), json!(true));
                    let target = document
                        .pointer(reference.trim_start_matches('#'))
                        .cloned()
                        .unwrap_or(json!(false));
                    let target = rewritten(&target, document, definitions);
                    definitions.insert(name.clone(), target);
                }
                return json!({"$ref": format!("#/$defs/{name}")});
            }
            let mut out = serde_json::Map::new();
            for (key, value) in map {
                match key.as_str() {
                    "example" | "examples" | "description" | "title" | "nullable"
                    | "discriminator" | "externalDocs" | "xml" | "deprecated" | "readOnly"
                    | "writeOnly" | "format" => {}
                    key if key.starts_with("x-") => {}
                    "enum" | "const" | "required" | "default" => {
                        drop(out.insert(key.clone(), value.clone()))
                    }
                    "properties" => {
                        let properties =
                            value
                                .as_object()
                                .into_iter()
                                .flatten()
                                .map(|(name, value)| {
                                    (name.clone(), rewritten(value, document, definitions))
                                });
                        out.insert(key.clone(), Value::Object(properties.collect()));
                    }
                    _ => drop(out.insert(key.clone(), rewritten(value, document, definitions))),
                }
            }
            if map.get("nullable") == Some(&json!(true)) {
                return json!({"anyOf": [{"type": "null"}, out]});
            }
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| rewritten(item, document, definitions))
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}
