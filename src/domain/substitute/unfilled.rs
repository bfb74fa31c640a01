//! Texts whose variables Flux fills in from elsewhere: what they become may be a Secret's.

use serde_json::Value;

/// The texts of an object that still have variables: their values are not known here, and may be
/// those of Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfilled(Vec<(Vec<Step>, String)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    /// The item of a list that has this name.
    Named(String),
    /// An item without a name, in a list of so many.
    Item(usize, usize),
}

impl Unfilled {
    pub fn of(object: &Value) -> Self {
        let mut found = Vec::new();
        collect(object, &mut Vec::new(), &mut found);
        Self(found)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the live values in their place, so that the server can check the rest: only for a
    /// request, since these values are not to be shown.
    pub fn take_live(&self, wanted: &mut Value, live: &Value) {
        for (steps, _) in &self.0 {
            if let (Some(wanted), Some(live)) = (place(wanted, steps), find(live, steps))
                && !live.is_null()
            {
                *wanted = live.clone();
            }
        }
    }

    /// Takes the live values out of what the server said of a request with them.
    pub fn scrub(&self, message: &mut String, live: &Value) {
        for (steps, text) in &self.0 {
            let value = find(live, steps).and_then(Value::as_str);
            if let Some(value) = value.filter(|value| value.len() >= SHORTEST) {
                *message = message.replace(value, text);
            }
        }
    }

    /// Puts the texts with their variables in the place of the values.
    pub fn hide(&self, object: &mut Value) {
        for (steps, text) in &self.0 {
            hide(object, steps, text);
        }
    }
}

/// Shorter values are words like any other, and no secrets.
const SHORTEST: usize = 4;

/// Hides a value; in a list that has become another one, in each of its items.
fn hide(value: &mut Value, steps: &[Step], text: &str) {
    let Some((step, rest)) = steps.split_first() else {
        *value = Value::String(text.into());
        return;
    };
    match (value, step) {
        (Value::Object(fields), Step::Field(name)) => {
            if let Some(value) = fields.get_mut(name) {
                hide(value, rest, text);
            }
        }
        (Value::Array(items), Step::Item(_, of)) if items.len() != *of => {
            items.iter_mut().for_each(|item| hide(item, rest, text));
        }
        (Value::Array(items), step) => {
            if let Some(at) = position(items, step) {
                hide(&mut items[at], rest, text);
            }
        }
        _ => {}
    }
}

fn collect(value: &Value, at: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                at.push(Step::Field(name.clone()));
                collect(value, at, found);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let name = item["name"].as_str().filter(|name| !name.contains("${"));
                at.push(match name {
                    Some(name) => Step::Named(name.into()),
                    None => Step::Item(number, items.len()),
                });
                collect(item, at, found);
                at.pop();
            }
        }
        Value::String(text) if text.contains("${") => found.push((at.clone(), text.clone())),
        _ => {}
    }
}

fn position(items: &[Value], step: &Step) -> Option<usize> {
    match step {
        Step::Named(name) => items.iter().position(|item| item["name"] == name.as_str()),
        Step::Item(number, of) => (items.len() == *of).then_some(*number),
        Step::Field(_) => None,
    }
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |at, step| match (at, step) {
        (Value::Object(fields), Step::Field(name)) => fields.get(name),
        (Value::Array(items), step) => items.get(position(items, step)?),
        _ => None,
    })
}

fn place<'a>(value: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(value, |at, step| match (at, step) {
        (Value::Object(fields), Step::Field(name)) => fields.get_mut(name),
        (Value::Array(items), step) => {
            let at = position(items, step)?;
            items.get_mut(at)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a value is filled with may be a Secret's: it is taken for the server, and not shown.
    #[test]
    fn unknown_values_stand_in_their_own_place_and_are_hidden() {
        let live = json!({"spec": {"env": [{"name": "PASSWORD", "value": "s3cret"}],
            "args": ["--token=t0ken", "-v"], "replicas": 3}});
        let wanted = json!({"spec": {
            "env": [{"name": "MODE", "value": "${mode}"}, {"name": "PASSWORD", "value": "${token}"}],
            "args": ["--token=${token}", "-v"], "replicas": "${count}", "port": "${port}"}});
        let unfilled = Unfilled::of(&wanted);
        let mut sent = wanted.clone();
        unfilled.take_live(&mut sent, &live);
        let env =
            json!([{"name": "MODE", "value": "${mode}"}, {"name": "PASSWORD", "value": "s3cret"}]);
        assert_eq!(sent["spec"]["env"], env);
        assert_eq!(sent["spec"]["args"], live["spec"]["args"]);
        assert_eq!(sent["spec"]["replicas"], 3);
        unfilled.hide(&mut sent);
        assert_eq!(sent, wanted);
        let mut refused = "spec: Invalid value: \"s3cret\": no".to_string();
        unfilled.scrub(&mut refused, &live);
        assert_eq!(refused, "spec: Invalid value: \"${token}\": no");
        // Items without names are found in a list of the same length alone.
        let mut sent = wanted.clone();
        unfilled.take_live(&mut sent, &json!({"spec": {"args": ["s3cret"]}}));
        assert_eq!(sent, wanted);
        assert_eq!(Unfilled::of(&live), Unfilled::default());
        let mut longer = json!({"spec": {"args": ["--token=t0ken", "-v", "-x"]}});
        unfilled.hide(&mut longer);
        assert!(!longer.to_string().contains("t0ken"));
    }
}
