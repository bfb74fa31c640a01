//! Validation rules of custom resource definitions. They are evaluated in the
//! jail, since they may come from a pull request.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::inputs::{How, Inputs};
use super::run::Program;
use super::{NotRendered, Renderer};
use crate::domain::cel;

const MOST_RULE_TIME: Duration = Duration::from_secs(5);
const TOO_SLOW: &str = "the validation rules of its definition cannot be evaluated in time";

impl Renderer {
    /// Whether an object breaks validation rules of a schema. Rules of a pull request may be
    /// written to run for ever or to crash the process, so `windlass rules` evaluates them in the
    /// jail.
    pub async fn broken_rules(
        &self,
        schema: &Value,
        object: &Value,
        before: Option<&Value>,
    ) -> Result<(), String> {
        let definition = hex::encode(Sha256::digest(schema.to_string()));
        if self.shared.slow.contains_key(&definition) {
            return Err(TOO_SLOW.into());
        }
        let request =
            serde_json::json!({"schema": schema, "object": object, "before": before}).to_string();
        let key = hex::encode(Sha256::digest(&request));
        self.shared
            .rules
            .try_get_with(key, self.evaluate(definition, &request))
            .await
            .map_err(|why| (*why).clone())?
    }

    /// The outer error says nothing about the rules, and is not cached.
    async fn evaluate(
        &self,
        definition: String,
        request: &str,
    ) -> Result<Result<(), String>, String> {
        let not_now = || {
            Err("the validation rules of its definition cannot be evaluated just now".to_string())
        };
        let Ok(_permit) = self.shared.evaluating.acquire().await else {
            return not_now();
        };
        let files = BTreeMap::from([(
            "rules.json".to_string(),
            Arc::<[u8]>::from(request.as_bytes()),
        )]);
        let inputs = Inputs::of_files("definition", How::Plain, files, String::new());
        let arguments = ["rules".to_string(), "rules.json".to_string()];
        // Without the caller's budget: the cached result also serves others.
        let without_budget = Self {
            shared: self.shared.clone(),
            budget: None,
            fetcher: None,
        };
        match without_budget
            .run(&inputs, Program::Windlass, &arguments, MOST_RULE_TIME)
            .await
        {
            Ok(out) => match serde_json::from_str::<Vec<String>>(&out) {
                Ok(broken) if broken.is_empty() => Ok(Ok(())),
                Ok(broken) => Ok(Err(broken.join("; "))),
                Err(_) => Ok(Err(TOO_SLOW.into())),
            },
            // It ran out of time, memory or stack. One such object is enough to reject the schema
            // from then on.
            Err(NotRendered::Invalid(_)) => {
                self.shared.slow.insert(definition, ());
                Ok(Err(TOO_SLOW.into()))
            }
            // A temporary failure, which says nothing about the rules.
            Err(_) => not_now(),
        }
    }
}

/// `windlass rules`: reads the request that [`Renderer::broken_rules`] wrote, and prints the broken rules as a list.
pub fn rules(file: &Path) -> anyhow::Result<String> {
    let request: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let before = Some(&request["before"]).filter(|before| !before.is_null());
    let broken = cel::broken_rules(&request["schema"], &request["object"], before)
        .err()
        .unwrap_or_default();
    Ok(serde_json::to_string(&broken)?)
}
