//! The fields that a rule of `ignoreDifferences` names: JSON pointers, and those expressions of jq
//! that are paths.

use serde_json::Value;

/// A path that may name many fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A field of an object, or the number of an item.
    Name(String),
    /// All items of a list, or all fields of an object.
    All,
    /// Only where a field below has this value: `select(.name == "web")`.
    Where(Path, Value),
}

/// Where a field is: names of fields and numbers of items.
type Place = Vec<String>;

impl Path {
    /// A JSON pointer (RFC 6901). None: it names the whole object.
    pub fn of_pointer(pointer: &str) -> Option<Self> {
        let part = |part: &str| Step::Name(part.replace("~1", "/").replace("~0", "~"));
        Some(Self(
            pointer.strip_prefix('/')?.split('/').map(part).collect(),
        ))
    }

    /// An expression of jq, such as `.spec.containers[] | select(.name == "web").image`. None: it
    /// is more than a path.
    pub fn of_jq(expression: &str) -> Option<Self> {
        let mut reader = Reader(expression.trim());
        let path = reader.path()?;
        (reader.0.is_empty() && !path.0.is_empty()).then_some(path)
    }

    /// Takes the fields out of an object.
    pub fn remove_from(&self, object: &mut Value) {
        let mut places = Vec::new();
        find(object, &self.0, &mut Vec::new(), &mut places);
        // From the end, so that the numbers of items stay right.
        for place in places.iter().rev() {
            take(object, place);
        }
    }

    fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |at, step| match step {
            Step::Name(name) => below(at, name),
            _ => None,
        })
    }
}

fn below<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

fn find(value: &Value, steps: &[Step], at: &mut Place, places: &mut Vec<Place>) {
    let Some((step, rest)) = steps.split_first() else {
        return places.push(at.clone());
    };
    let mut into = |name: String, value: &Value| {
        at.push(name);
        find(value, rest, at, places);
        at.pop();
    };
    match step {
        Step::Name(name) => {
            if let Some(value) = below(value, name) {
                into(name.clone(), value);
            }
        }
        Step::All => match value {
            Value::Array(items) => {
                (items.iter().enumerate()).for_each(|(number, item)| into(number.to_string(), item))
            }
            Value::Object(fields) => {
                (fields.iter()).for_each(|(name, value)| into(name.clone(), value))
            }
            _ => {}
        },
        Step::Where(path, wanted) => {
            if path.first(value) == Some(wanted) {
                find(value, rest, at, places);
            }
        }
    }
}

fn take(object: &mut Value, place: &[String]) {
    let Some((last, before)) = place.split_last() else {
        return;
    };
    let parent = before.iter().try_fold(object, |at, name| match at {
        Value::Object(fields) => fields.get_mut(name),
        Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
        _ => None,
    });
    match parent {
        Some(Value::Object(fields)) => drop(fields.remove(last)),
        Some(Value::Array(items)) => {
            if let Ok(number) = last.parse::<usize>()
                && number < items.len()
            {
                items.remove(number);
            }
        }
        _ => {}
    }
}

/// What of an expression is not read yet.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn path(&mut self) -> Option<Path> {
        let mut steps = Vec::new();
        loop {
            self.0 = self.0.trim_start();
            if self.eats("(") {
                steps.extend(self.path()?.0);
                self.eats(")").then_some(())?;
            } else if self.eats("select(") {
                steps.push(self.condition()?);
            } else if self.0.starts_with(['.', '[']) {
                self.step(&mut steps)?;
            } else {
                return None;
            }
            while self.0.starts_with(['.', '[', '?']) {
                if !self.eats("?") {
                    self.step(&mut steps)?;
                }
            }
            self.0 = self.0.trim_start();
            if !self.eats("|") {
                return Some(Path(steps));
            }
        }
    }

    fn eats(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// `.name`, `."name"`, `.` before a bracket, `["name"]`, `[0]` or `[]`.
    fn step(&mut self, steps: &mut Vec<Step>) -> Option<()> {
        if self.eats("[") {
            let step = match self.0.strip_prefix('"') {
                Some(_) => Step::Name(self.text()?),
                None => match self.word(|c| c.is_ascii_digit()) {
                    "" => Step::All,
                    number => Step::Name(number.to_string()),
                },
            };
            self.eats("]").then_some(())?;
            steps.push(step);
            return Some(());
        }
        self.eats(".").then_some(())?;
        if self.0.starts_with('"') {
            steps.push(Step::Name(self.text()?));
            return Some(());
        }
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        match name {
            // `.` alone, and `.[`.
            "" => (self.0.is_empty() || self.0.starts_with(['[', ' ', '|', ')'])).then_some(()),
            name if name.starts_with(|first: char| first.is_ascii_digit()) => None,
            name => {
                steps.push(Step::Name(name.to_string()));
                Some(())
            }
        }
    }

    /// `.name == "web")`, after `select(`.
    fn condition(&mut self) -> Option<Step> {
        let path = self.path()?;
        let is_plain = path.0.iter().all(|step| matches!(step, Step::Name(_)));
        (is_plain && self.eats("==")).then_some(())?;
        self.0 = self.0.trim_start();
        let wanted = match self.0.starts_with('"') {
            true => Value::String(self.text()?),
            false => serde_json::from_str(self.word(|c| c.is_ascii_alphanumeric())).ok()?,
        };
        self.0 = self.0.trim_start();
        self.eats(")").then_some(())?;
        Some(Step::Where(path, wanted))
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !belongs(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    /// A string in quotes, without interpolation.
    fn text(&mut self) -> Option<String> {
        let mut texts = serde_json::Deserializer::from_str(self.0).into_iter::<String>();
        let text = texts.next()?.ok()?;
        self.0 = &self.0[texts.byte_offset()..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn without(path: Option<Path>) -> Value {
        let mut object = json!({
            "metadata": {"annotations": {"a/b": "1", "c.d": "2"}},
            "spec": {"replicas": 3, "containers": [
                {"name": "web", "image": "web:1", "env": [{"name": "A"}, {"name": "B"}]},
                {"name": "proxy", "image": "proxy:1"},
            ]},
        });
        path.unwrap().remove_from(&mut object);
        object
    }

    #[test]
    fn pointers_name_one_field() {
        let found = |pointer| without(Path::of_pointer(pointer));
        assert!(found("/spec/replicas")["spec"]["replicas"].is_null());
        assert!(found("/metadata/annotations/a~1b")["metadata"]["annotations"]["a/b"].is_null());
        let one = found("/spec/containers/0");
        assert_eq!(one["spec"]["containers"][0]["name"], "proxy");
        assert_eq!(found("/spec/none/x"), found("/other"));
        assert_eq!(Path::of_pointer(""), None);
    }

    #[test]
    fn paths_of_jq_name_many() {
        let containers = |jq| without(Path::of_jq(jq))["spec"]["containers"].clone();
        let names = |jq| -> Vec<_> {
            let items = containers(jq).as_array().unwrap().clone();
            items.iter().map(|item| item["name"].clone()).collect()
        };
        let images = |jq| -> Vec<_> {
            let items = containers(jq).as_array().unwrap().clone();
            items.iter().map(|item| item["image"].is_null()).collect()
        };
        assert_eq!(images(".spec.containers[].image"), [true, true]);
        assert_eq!(images(".spec.containers[]?.image?"), [true, true]);
        assert_eq!(images(".spec[\"containers\"][1].image"), [false, true]);
        assert!(names(".spec.containers[]").is_empty());
        for one in [
            ".spec.containers[] | select(.name == \"web\")",
            ".spec.containers[]|select(.name==\"web\")",
            "(.spec.containers[] | select(.name == \"web\"))",
        ] {
            assert_eq!(names(one), ["proxy"], "{one}");
        }
        for one in [
            ".spec.containers[] | select(.name == \"proxy\").image",
            ".spec.containers[] | select(.name == \"proxy\") | .image",
            "(.spec.containers[] | select(.name == \"proxy\")).image",
        ] {
            assert_eq!(images(one), [false, true], "{one}");
        }
        let env = containers(".spec.containers[].env[] | select(.name == \"A\")");
        assert_eq!(env[0]["env"], json!([{"name": "B"}]));
        let annotations = without(Path::of_jq(".metadata.annotations.\"c.d\""));
        assert_eq!(annotations["metadata"]["annotations"], json!({"a/b": "1"}));
    }

    #[test]
    fn what_is_more_than_a_path_is_not_read() {
        for one in [
            "",
            ".",
            "spec",
            ".spec.containers[] | select(.name | test(\"web\"))",
            ".spec.replicas // .x",
            ".a, .b",
            ".spec.containers[0:1]",
            "..",
            ".a | length",
            ".[\"a",
            ".metadata.annotations.a-b",
        ] {
            assert_eq!(Path::of_jq(one), None, "{one}");
        }
    }
}
