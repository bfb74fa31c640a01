//! Paths into objects. The step to an item of a list is its `name` or, without one, its index.

use serde_json::Value;

pub(super) fn step(index: usize, item: &Value) -> String {
    item["name"]
        .as_str()
        .map_or_else(|| index.to_string(), |name| format!("[{name}]"))
}

pub(super) fn value_at<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else {
        return Some(value);
    };
    let below = match value {
        Value::Object(map) => map.get_mut(first)?,
        Value::Array(items) => {
            let at = (0..items.len()).find(|index| step(*index, &items[*index]) == *first)?;
            items.get_mut(at)?
        }
        _ => return None,
    };
    value_at(below, rest)
}
