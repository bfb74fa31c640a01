//! The PodDisruptionBudgets of a workload.

use serde_json::Value;

use crate::domain::Live;

/// How many pods the PodDisruptionBudgets of a workload allow to evict now.
pub fn budget(workload: &Value, budgets: &[Live]) -> Vec<String> {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let selects = |budget: &&Live| {
        let selector = budget["spec"]["selector"]["matchLabels"].as_object();
        selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(name, value)| &labels[name] == value)
        })
    };
    let line = |budget: &Live| {
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        let (allowed, healthy) = (
            budget["status"]["disruptionsAllowed"].as_i64()?,
            budget["status"]["currentHealthy"].as_i64()?,
        );
        Some(match allowed {
            0 => format!(
                "PodDisruptionBudget {name}: none of {healthy} healthy pods may be evicted now"
            ),
            _ => format!(
                "PodDisruptionBudget {name}: {allowed} of {healthy} healthy pods may be evicted now"
            ),
        })
    };
    budgets.iter().filter(selects).filter_map(line).collect()
}
