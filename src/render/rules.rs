//! Validation rules of custom resource definitions, evaluated in the jail: they
//! may be a pull request's.

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
    /// What of a schema's validation rules an object breaks. The rules may be a pull request's, written to take for ever or to
    /// end the process: they are evaluated by `windlass rules` in the jail.
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
        let asked =
            serde_json::json!({"schema": schema, "object": object, "before": before}).to_string();
        let key = hex::encode(Sha256::digest(&asked));
        self.shared
            .rules
            .try_get_with(key, self.evaluate(definition, &asked))
            .await
            .map_err(|why| (*why).clone())?
    }

    /// The outer error says nothing about the rules: they are evaluated again when they are asked for again.
    async fn evaluate(
        &self,
        definition: String,
        asked: &str,
    ) -> Result<Result<(), String>, String> {
        let not_now = || {
            Err("the validation rules of its definition cannot be evaluated just now".to_string())
        };
        let Ok(_turn) = self.shared.evaluating.acquire().await else {
            return not_now();
        };
        let files = BTreeMap::from([(
            "rules.json".to_string(),
            Arc::<[u8]>::from(asked.as_bytes()),
        )]);
        let inputs = Inputs {
            directory: "definition".into(),
            how: How::Plain,
            files,
            hash: String::new(),
        };
        let arguments = ["rules".to_string(), "rules.json".to_string()];
        // It takes from nobody's budget: what it says holds for everybody who asks about the same.
        let alone = Self {
            shared: self.shared.clone(),
            budget: None,
        };
        match alone
            .run(&inputs, Program::Windlass, &arguments, MOST_RULE_TIME)
            .await
        {
            Ok(out) => match serde_json::from_str::<Vec<String>>(&out) {
                Ok(broken) if broken.is_empty() => Ok(Ok(())),
                Ok(broken) => Ok(Err(broken.join("; "))),
                Err(_) => Ok(Err(TOO_SLOW.into())),
            },
            // Out of time, of memory, of its stack: one such object is enough to know the schema by.
            Err(NotRendered::Invalid(_)) => {
                self.shared.slow.insert(definition, ());
                Ok(Err(TOO_SLOW.into()))
            }
            // It is asked again: that says nothing about the rules.
            Err(_) => not_now(),
        }
    }
}

/// `windlass rules`: reads what [`Renderer::broken_rules`] laid out, and prints what is broken, as a list.
pub fn rules(file: &Path) -> anyhow::Result<String> {
    let asked: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let before = Some(&asked["before"]).filter(|before| !before.is_null());
    let broken = cel::broken_rules(&asked["schema"], &asked["object"], before)
        .err()
        .unwrap_or_default();
    Ok(serde_json::to_string(&broken)?)
}
