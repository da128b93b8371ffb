//! Learns a map from two documents that say the same.
//!
//! They are walked side by side. Where they are not what one value looks like in both formats, or one
//! place would need two rules, nothing is learned: a map is never half right.

use super::{
    Unlearned,
    map::{Form, Item, Kinds, List, Map, RootList, Scalar, Seen, Text, Wrapped},
};
use crate::transcode::{
    json::is_integer,
    time::without_fraction,
    tree::{Node, Tree, Value},
    xml::is_shown_as,
};

/// What is left to be compared: a node of JSON, one of XML, and their place.
type Pair = (usize, usize, usize);

/// Adds to a map what two documents show. If that fails the map is not to be used any more.
pub fn learn(map: &mut Map, json: &Tree<'_>, xml: &Tree<'_>) -> Result<(), Unlearned> {
    let Some(first) = root(map, json, xml)? else { return Ok(()) };
    let mut open = vec![first];
    while let Some(pair) = open.pop() {
        compare(map, json, xml, pair, &mut open)?;
    }
    Ok(())
}

/// Learns what the roots are called. Gives what they hold; nothing for a list that is empty.
fn root(map: &mut Map, json: &Tree<'_>, xml: &Tree<'_>) -> Result<Option<Pair>, Unlearned> {
    let (j, x) = (&json.nodes[0], &xml.nodes[0]);
    let name: &str = &x.name;
    let known = |of: &mut Option<Box<str>>| match of {
        Some(known) if **known != *name => Err(Unlearned::Contradiction),
        Some(_) => Ok(()),
        None => {
            *of = Some(name.into());
            Ok(())
        }
    };
    match j.value {
        Value::Array if x.value != Value::Array => Err(Unlearned::Values),
        Value::Array if j.end == 1 => {
            known(&mut map.root.empty_list)?;
            if x.end == 1 { Ok(None) } else { Err(Unlearned::Values) }
        }
        Value::Array => {
            let kinds = Kinds::of_items(json, 0);
            match map.root.list(kinds) {
                Some(known) if known != name => return Err(Unlearned::Contradiction),
                Some(_) => {}
                None => map.root.lists.push(RootList { kinds, name: name.into() }),
            }
            Ok(Some((0, 0, 0)))
        }
        Value::Object => {
            known(&mut map.root.object)?;
            Ok(Some((0, 0, 0)))
        }
        // Rails shows a lone value in a way of its own.
        _ => Err(Unlearned::Values),
    }
}

/// Whether an object of JSON is there only to name what an element shows: it has one member, and the
/// element shows what that holds.
fn is_wrapped(json: &Tree<'_>, j: usize, xml: &Tree<'_>, x: usize) -> Result<bool, Unlearned> {
    let (object, element) = (&json.nodes[j], &xml.nodes[x]);
    let mut members = json.children(j);
    let (Some((inner, member)), None) = (members.next(), members.next()) else {
        return Ok(false);
    };
    debug_assert_eq!(object.value, Value::Object);
    let mut within = xml.children(x);
    let plain = match (within.next(), within.next()) {
        (Some((_, child)), None) => child.name == member.name,
        _ => false,
    };
    let inside = match member.value {
        Value::Object => {
            let names = json.children(inner).map(|(_, node)| &node.name);
            names.eq(xml.children(x).map(|(_, node)| &node.name)) && element.value != Value::Array
        }
        Value::Array => element.value == Value::Array,
        _ => false,
    };
    match (inside, plain) {
        (true, true) => Err(Unlearned::Ambiguous),
        (wrapped, _) => Ok(wrapped),
    }
}

/// Learns what one value shows of its place, and what is left to be compared below it.
fn compare(
    map: &mut Map,
    json: &Tree<'_>,
    xml: &Tree<'_>,
    (j, x, place): Pair,
    open: &mut Vec<Pair>,
) -> Result<(), Unlearned> {
    let (node, element) = (&json.nodes[j], &xml.nodes[x]);
    if element.kind.is_some_and(|kind| kind.len() > Map::LONGEST_KIND || kind.contains('&')) {
        return Err(Unlearned::Values);
    }
    match &node.value {
        Value::Object if is_wrapped(json, j, xml, x)? => {
            open.push((j + 1, x, wrapped(map, place, &json.nodes[j + 1].name)?));
            return Ok(());
        }
        Value::Object => return members(map, json, xml, (j, x, place), open),
        Value::Array => return items(map, json, xml, (j, x, place), open),
        Value::Text(text) => return learn_text(map, text, element, place),
        Value::Null | Value::Boolean(_) | Value::Number(_) => {}
    }
    let at = &mut map.places[place];
    let (known, same) = match (&node.value, &element.value) {
        (Value::Null, value) => (&mut at.null, *value == Value::Null),
        (Value::Boolean(flag), Value::Text(text)) => (&mut at.boolean, *text == flag.to_string()),
        (Value::Number(number), Value::Text(text)) if is_integer(number) => {
            (&mut at.integer, text == number)
        }
        (Value::Number(number), Value::Text(text)) => (&mut at.fraction, text == number),
        _ => return Err(Unlearned::Values),
    };
    if !same {
        return Err(Unlearned::Values);
    }
    let learned = Scalar::of(element.kind);
    if *known.get_or_insert_with(|| learned.clone()) == learned {
        Ok(())
    } else {
        Err(Unlearned::Contradiction)
    }
}

fn learn_text(
    map: &mut Map,
    text: &str,
    element: &Node<'_>,
    place: usize,
) -> Result<(), Unlearned> {
    let Value::Text(shown) = &element.value else { return Err(Unlearned::Values) };
    let form = if is_shown_as(text, shown) {
        Form::Same
    } else {
        let (cut, fraction) = without_fraction(text).ok_or(Unlearned::Values)?;
        if element.kind.is_none() || *cut != **shown {
            return Err(Unlearned::Values);
        }
        let zeros = fraction.bytes().all(|digit| digit == b'0');
        if zeros { Form::WholeSeconds { digits: fraction.len() } } else { Form::Fractions }
    };
    let learned = Text { kind: element.kind.map(Into::into), form };
    if !learned.admits(text) {
        return Err(Unlearned::Values);
    }
    let known = map.places[place].text.get_or_insert_with(|| learned.clone());
    if known.kind != learned.kind {
        return Err(Unlearned::Contradiction);
    }
    known.form = match (known.form, form) {
        (known, seen) if known == seen => known,
        (Form::Fractions, Form::WholeSeconds { .. }) => Form::Fractions,
        (Form::WholeSeconds { .. }, Form::Fractions) => Form::Fractions,
        _ => return Err(Unlearned::Contradiction),
    };
    Ok(())
}

fn members(
    map: &mut Map,
    json: &Tree<'_>,
    xml: &Tree<'_>,
    (j, x, place): Pair,
    open: &mut Vec<Pair>,
) -> Result<(), Unlearned> {
    let element = &xml.nodes[x];
    let is_empty = json.nodes[j].end == j + 1;
    let blank = matches!(&element.value, Value::Text(text) if text.starts_with('\n'));
    if element.kind.is_some() || !(element.value == Value::Object || is_empty && blank) {
        return Err(Unlearned::Values);
    }
    if map.places[place].wrapped.is_some() {
        return Err(Unlearned::Contradiction);
    }
    let mut known = map.places[place].object.take().unwrap_or_default();
    let (mut shown, mut hint, mut seen) = (xml.children(x), 0, Seen::default());
    for (inner, member) in json.children(j) {
        let (child, element) = shown.next().ok_or(Unlearned::Names)?;
        if element.name != member.name {
            return Err(Unlearned::Names);
        }
        if !known.has(&member.name) {
            known.add(&member.name, map.add()?);
        }
        // A name that is there twice is one member for some readers and two for others.
        let to = known.find(&member.name, &mut hint, &mut seen).ok_or(Unlearned::Ambiguous)?;
        open.push((inner, child, to));
    }
    if shown.next().is_some() {
        return Err(Unlearned::Names);
    }
    map.places[place].object = Some(known);
    Ok(())
}

fn items(
    map: &mut Map,
    json: &Tree<'_>,
    xml: &Tree<'_>,
    (j, x, place): Pair,
    open: &mut Vec<Pair>,
) -> Result<(), Unlearned> {
    if xml.nodes[x].value != Value::Array || xml.nodes[x].kind.is_some() {
        return Err(Unlearned::Values);
    }
    let mut known = map.places[place].list.take().unwrap_or_default();
    let mut shown = xml.children(x);
    for (inner, _) in json.children(j) {
        let (child, element) = shown.next().ok_or(Unlearned::Names)?;
        let to = item_place(map, &mut known, &element.name)?;
        open.push((inner, child, to));
    }
    if shown.next().is_some() {
        return Err(Unlearned::Names);
    }
    map.places[place].list = Some(known);
    Ok(())
}

fn item_place(map: &mut Map, list: &mut List, name: &str) -> Result<usize, Unlearned> {
    if let Some(known) = &list.item {
        return if *known.name == *name { Ok(known.place) } else { Err(Unlearned::Contradiction) };
    }
    let place = map.add()?;
    list.item = Some(Item { name: name.into(), place });
    Ok(place)
}

/// The place of what a wrapper of this name holds.
fn wrapped(map: &mut Map, place: usize, name: &str) -> Result<usize, Unlearned> {
    let at = &map.places[place];
    match &at.wrapped {
        _ if at.object.is_some() => Err(Unlearned::Contradiction),
        Some(known) if *known.name == *name => Ok(known.place),
        Some(_) => Err(Unlearned::Contradiction),
        None => {
            let inner = map.add()?;
            map.places[place].wrapped = Some(Wrapped { name: name.into(), place: inner });
            Ok(inner)
        }
    }
}
