//! The part of Go's templates that ApplicationSets mostly use: fields, pipelines, conditions, and
//! the functions below (of Go and of Sprig). What else there is, is an error that names it.

use serde_json::{Value, json};

use super::generators::normalized;
use super::template::bounded;
use super::{MOST_TEXT, Parameters};

/// The parameters.
struct Data {
    all: Value,
    strict: bool,
}

/// A text with its actions carried out.
/// `strict`: a parameter that there is not is an error.
pub(super) fn fill(text: &str, parameters: &Parameters, strict: bool) -> Result<String, String> {
    let data = Data {
        all: Value::Object(parameters.clone()),
        strict,
    };
    let mut out = String::new();
    // For each open condition: whether its branch is taken, and whether one was.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after
            .split_once("}}")
            .ok_or_else(|| format!("`{text}` has an action without its end"))?;
        let before = match action.strip_prefix("- ") {
            Some(_) => before.trim_end(),
            None => before,
        };
        let shown = |open: &[(bool, bool)]| open.iter().all(|(taken, _)| *taken);
        if shown(&open) {
            out.push_str(before);
        }
        let trimmed = action.strip_prefix('-').unwrap_or(action);
        let words = trimmed.strip_suffix('-').unwrap_or(trimmed).trim();
        let visible = shown(&open);
        step(words, &data, &mut open, visible, &mut out)?;
        bounded(&out)?;
        rest = match action.ends_with('-') {
            true => after.trim_start(),
            false => after,
        };
    }
    if !open.is_empty() {
        return Err(format!("`{text}` has an `if` without its `end`"));
    }
    Ok(out + rest)
}

/// Carries out one action.
fn step(
    words: &str,
    data: &Data,
    open: &mut Vec<(bool, bool)>,
    visible: bool,
    out: &mut String,
) -> Result<(), String> {
    let is_true = |condition: &str| Ok::<_, String>(truth(&evaluate(condition, data)?));
    if words.starts_with("/*") {
        return Ok(());
    }
    if let Some(condition) = words.strip_prefix("if ") {
        let taken = visible && is_true(condition)?;
        open.push((taken, taken || !visible));
        return Ok(());
    }
    if words == "end" {
        return open
            .pop()
            .map(drop)
            .ok_or_else(|| "an `end` without its `if`".into());
    }
    if words == "else" || words.starts_with("else if ") {
        let (_, done) = open.pop().ok_or("an `else` without its `if`")?;
        let taken = match words.strip_prefix("else if ") {
            Some(condition) if !done => is_true(condition)?,
            Some(_) => false,
            None => !done,
        };
        open.push((taken, done || taken));
        return Ok(());
    }
    for word in ["range", "with", "define", "template", "block"] {
        if words.split_whitespace().next() == Some(word) {
            return Err(format!("`{word}` in templates is not evaluated"));
        }
    }
    if visible {
        out.push_str(&shown(&evaluate(words, data)?));
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<no value>".into(),
        other => other.to_string(),
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A pipeline: the value of each command is the last argument of the next.
fn evaluate(text: &str, data: &Data) -> Result<Value, String> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let value = pipeline(&mut tokens, data, MOST_DEEP)?;
    match tokens.next() {
        None => Ok(value),
        Some(more) => Err(format!("`{text}`: `{more}` is not read")),
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<String>>;

/// Parentheses in each other.
const MOST_DEEP: usize = 20;

fn pipeline(tokens: &mut Tokens, data: &Data, deep: usize) -> Result<Value, String> {
    let below = deep.checked_sub(1);
    let below = below.ok_or("more than 20 parentheses are in each other")?;
    let mut piped: Option<Value> = None;
    loop {
        let mut arguments = Vec::new();
        let mut name = None;
        while let Some(token) = tokens.peek().cloned() {
            if token == "|" || token == ")" {
                break;
            }
            tokens.next();
            let is_name = token.starts_with(|c: char| c.is_ascii_alphabetic());
            if token == "(" {
                arguments.push(pipeline(tokens, data, below)?);
                if tokens.next().as_deref() != Some(")") {
                    return Err("a parenthesis has no end".into());
                }
            } else if is_name && name.is_none() && arguments.is_empty() && !is_literal(&token) {
                name = Some(token);
            } else {
                arguments.push(operand(&token, data)?);
            }
        }
        arguments.extend(piped.take());
        let value = match name {
            Some(name) => call(&name, &arguments)?,
            None => arguments.into_iter().next().ok_or("an empty action")?,
        };
        match tokens.peek().map(String::as_str) {
            Some("|") => {
                tokens.next();
                piped = Some(value);
            }
            _ => return Ok(value),
        }
    }
}

fn is_literal(token: &str) -> bool {
    ["true", "false", "nil"].contains(&token)
}

fn operand(token: &str, data: &Data) -> Result<Value, String> {
    let unquoted = |text: &str| text[1..text.len() - 1].to_string();
    Ok(match token {
        "." => data.all.clone(),
        "true" => true.into(),
        "false" => false.into(),
        "nil" => Value::Null,
        _ if token.starts_with('`') => unquoted(token).into(),
        _ if token.starts_with('"') => {
            serde_json::from_str(token).map_err(|_| format!("{token} is no text"))?
        }
        _ if token.starts_with('.') => field(data, token)?,
        _ => {
            let number = token.parse::<i64>();
            json!(number.map_err(|_| format!("`{token}` in templates is not read"))?)
        }
    })
}

fn field(data: &Data, path: &str) -> Result<Value, String> {
    let mut parts = path[1..].split('.');
    let found = parts.try_fold(&data.all, |value, part| value.get(part));
    match found {
        None if data.strict => Err(format!("there is no parameter `{path}`")),
        found => Ok(found.cloned().unwrap_or_default()),
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '|' | '(' | ')' => 1,
            '"' | '`' => {
                let mut end = None;
                let mut escaped = false;
                for (at, c) in rest.char_indices().skip(1) {
                    match c {
                        _ if escaped => escaped = false,
                        '\\' if first == '"' => escaped = true,
                        c if c == first => {
                            end = Some(at + 1);
                            break;
                        }
                        _ => {}
                    }
                }
                end.ok_or_else(|| format!("`{text}` has a text without its end"))?
            }
            _ => rest
                .find(|c: char| c.is_whitespace() || "|()\"`".contains(c))
                .unwrap_or(rest.len()),
        };
        found.push(rest[..length].to_string());
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    bounded_call(name, arguments)?;
    if let Some(value) = of_text(name, arguments) {
        return Ok(value);
    }
    let value = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    let last = || arguments.last().cloned().unwrap_or_default();
    Ok(match name {
        "first" => value(0).get(0).cloned().unwrap_or_default(),
        "last" => {
            let list = value(0);
            let items = list.as_array();
            items
                .and_then(|all| all.last().cloned())
                .unwrap_or_default()
        }
        "default" if arguments.len() > 1 && truth(&last()) => last(),
        "default" => value(0),
        "eq" => arguments
            .iter()
            .skip(1)
            .any(|other| *other == value(0))
            .into(),
        "ne" => (value(0) != value(1)).into(),
        "not" => (!truth(&last())).into(),
        "and" => {
            let stop = arguments.iter().find(|one| !truth(one));
            stop.cloned().unwrap_or_else(last)
        }
        "or" => {
            let stop = arguments.iter().find(|one| truth(one));
            stop.cloned().unwrap_or_else(last)
        }
        "index" => indexed(arguments)?,
        "printf" | "print" => printed(name, arguments)?.into(),
        _ => {
            return Err(format!(
                "the function `{name}` of templates is not evaluated"
            ));
        }
    })
}

/// An error if the result of a function would be too long.
fn bounded_call(name: &str, arguments: &[Value]) -> Result<(), String> {
    let length = |at: usize| {
        arguments
            .get(at)
            .map(|value| shown(value).len())
            .unwrap_or_default()
    };
    let all: usize = (0..arguments.len()).map(length).sum();
    let copies = match name {
        "replace" => {
            let text = arguments.last().map(shown).unwrap_or_default();
            let from = arguments.first().map(shown).unwrap_or_default();
            text.matches(&*from).count() * length(1)
        }
        "join" => {
            let items = arguments.last().and_then(Value::as_array);
            items.map_or(0, Vec::len) * length(0)
        }
        _ => 0,
    };
    match all + copies > MOST_TEXT {
        true => Err("a text of its template becomes too long".into()),
        false => Ok(()),
    }
}

/// The functions whose last argument is a text.
fn of_text(name: &str, arguments: &[Value]) -> Option<Value> {
    let text = |at: usize| arguments.get(at).map(shown).unwrap_or_default();
    let number = |at: usize| arguments.get(at).and_then(Value::as_i64);
    let last = arguments.last().map(shown).unwrap_or_default();
    Some(match name {
        "lower" => last.to_lowercase().into(),
        "upper" => last.to_uppercase().into(),
        "trim" => last.trim().into(),
        "quote" => json!(last).to_string().into(),
        "squote" => format!("'{last}'").into(),
        "toString" => last.into(),
        "normalize" => normalized(&last).into(),
        "trimPrefix" => last.strip_prefix(&*text(0)).unwrap_or(&last).into(),
        "trimSuffix" => last.strip_suffix(&*text(0)).unwrap_or(&last).into(),
        "replace" => last.replace(&text(0), &text(1)).into(),
        "trunc" => truncated(&last, number(0).unwrap_or_default()).into(),
        "hasPrefix" => last.starts_with(&*text(0)).into(),
        "hasSuffix" => last.ends_with(&*text(0)).into(),
        "contains" => last.contains(&*text(0)).into(),
        "splitList" => json!(last.split(&*text(0)).collect::<Vec<_>>()),
        "join" => joined(arguments.last(), &text(0)).into(),
        _ => return None,
    })
}

fn truncated(text: &str, most: i64) -> String {
    let length = text.chars().count();
    let most_chars = usize::try_from(most.unsigned_abs())
        .unwrap_or(usize::MAX)
        .min(length);
    match most < 0 {
        true => text.chars().skip(length - most_chars).collect(),
        false => text.chars().take(most_chars).collect(),
    }
}

fn joined(list: Option<&Value>, by: &str) -> String {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.map(shown).collect::<Vec<_>>().join(by)
}

fn indexed(arguments: &[Value]) -> Result<Value, String> {
    let (first, path) = arguments.split_first().ok_or("`index` of nothing")?;
    let mut value = first;
    for part in path {
        let found = match part {
            Value::String(name) => value.get(name),
            part => part
                .as_u64()
                .and_then(|at| value.get(usize::try_from(at).ok()?)),
        };
        value = found.ok_or_else(|| format!("`index` finds no {part}"))?;
    }
    Ok(value.clone())
}

fn printed(name: &str, arguments: &[Value]) -> Result<String, String> {
    if name == "print" {
        return Ok(arguments.iter().map(shown).collect());
    }
    let (format, mut rest) = match arguments.split_first() {
        Some((Value::String(format), rest)) => (format, rest.iter()),
        _ => return Err("`printf` needs a text".into()),
    };
    let mut pieces = format.split('%');
    let mut out = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let verb = piece.chars().next();
        match verb {
            Some('s' | 'v' | 'd') => out.push_str(&rest.next().map(shown).unwrap_or_default()),
            _ => return Err(format!("`printf` with `%{piece}` is not evaluated")),
        }
        out.push_str(&piece[1..]);
    }
    Ok(out)
}
