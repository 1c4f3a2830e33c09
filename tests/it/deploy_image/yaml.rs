//! YAML as JSON values, for manifests: anchors, aliases, merge keys and several documents.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The documents of a text. Plain scalars become what YAML 1.2 takes them for.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        events.push(event.map_err(|error| error.to_string())?.0);
    }
    let mut reader = Reader { events: events.into_iter(), anchors: HashMap::new() };
    let mut documents = Vec::new();
    while let Some(event) = reader.events.next() {
        if matches!(event, Event::DocumentStart(_)) {
            documents.push(reader.value()?);
        }
    }
    Ok(documents)
}

struct Reader<'a, I: Iterator<Item = Event<'a>>> {
    events: I,
    anchors: HashMap<usize, Value>,
}

impl<'a, I: Iterator<Item = Event<'a>>> Reader<'a, I> {
    fn value(&mut self) -> Result<Value, String> {
        let event = self.events.next().ok_or("the text ends too early")?;
        self.value_of(event)
    }

    fn value_of(&mut self, event: Event<'a>) -> Result<Value, String> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::Alias(anchor) => {
                return self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or_else(|| "no such anchor".to_owned());
            }
            Event::SequenceStart(anchor, _) => {
                let mut list = Vec::new();
                loop {
                    match self.events.next().ok_or("a list does not end")? {
                        Event::SequenceEnd => break,
                        event => list.push(self.value_of(event)?),
                    }
                }
                (Value::Array(list), anchor)
            }
            Event::MappingStart(anchor, _) => (Value::Object(self.mapping()?), anchor),
            other => return Err(format!("{other:?} is no value")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self) -> Result<Map<String, Value>, String> {
        let (mut map, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.events.next().ok_or("a mapping does not end")? {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                other => return Err(format!("{other:?} is no key")),
            };
            match (key.as_str(), self.value()?) {
                ("<<", Value::Object(others)) => merged.extend(others),
                (_, value) => {
                    if map.insert(key.clone(), value).is_some() {
                        return Err(format!("{key} is there twice"));
                    }
                }
            }
        }
        // What stands in the mapping itself wins.
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        Ok(map)
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        number => number.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}
