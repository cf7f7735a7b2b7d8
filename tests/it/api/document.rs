//! The OpenAPI document says what the service does.

use serde_json::{Value, json};

use super::{Lab, options};
use lapwing::api::OPENAPI;

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// The schema that a reference leads to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let Some(reference) = schema["$ref"].as_str() else { return schema };
    let name = reference.strip_prefix("#/components/schemas/").expect("schemas are among the components");
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "there is no schema {name}");
    schema
}

/// What of a value does not fit a schema: as much of JSON Schema as the document uses, and nothing else is in it.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str, faults_found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let mut fault = |what: &str| faults_found.push(format!("{at}: {what}: {value}"));
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|choice| {
            let mut found = Vec::new();
            faults(document, choice, value, at, &mut found);
            found.is_empty()
        });
        if fits.count() != 1 {
            fault("is not one of them");
        }
        return;
    }
    let is_type = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    let fits = match &schema["type"] {
        Value::String(name) => is_type(name),
        Value::Array(names) => names.iter().any(|name| is_type(name.as_str().unwrap())),
        Value::Null => true,
        other => panic!("{other} is no type"),
    };
    if !fits {
        return fault("has another type");
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        return fault(&format!("is none of {words:?}"));
    }
    if let (Some(items), Some(values)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            faults(document, values, item, &format!("{at}[{index}]"), faults_found);
        }
        return;
    }
    let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap()) {
            faults_found.push(format!("{at}: {name} is missing: {value}"));
        }
    }
    for (name, field) in fields {
        match properties.get(name) {
            Some(schema) => faults(document, schema, field, &format!("{at}.{name}"), faults_found),
            None if schema["additionalProperties"] == json!(false) => {
                faults_found.push(format!("{at}: {name} is not described"));
            }
            None => {}
        }
    }
}

#[track_caller]
pub(super) fn assert_fits(document: &Value, schema: &Value, value: &Value, what: &str) {
    let mut found = Vec::new();
    faults(document, schema, value, what, &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

pub(super) fn content(of: &Value) -> &Value {
    &of["content"]["application/json"]
}

#[tokio::test]
async fn each_operation_of_the_document_does_what_it_says() {
    let document = document();
    let lab = Lab::start(options()).await;
    lab.post("publish", json!({"topic": "kept:1", "event": "say", "payload": {"n": 1}})).await;
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let (method, operation) = methods.as_object().unwrap().iter().next().unwrap();
        let responses = operation["responses"].as_object().unwrap();
        let example = &content(&operation["requestBody"])["example"];
        let asked = match method.as_str() {
            "post" => {
                let schema = &content(&operation["requestBody"])["schema"];
                assert_fits(&document, schema, example, path);
                lab.ask("POST", path.trim_start_matches('/'), Some(&example.to_string())).await
            }
            "get" => {
                let parameters = operation["parameters"].as_array().unwrap();
                let required = parameters.iter().filter(|parameter| parameter["required"] == json!(true));
                let query: Vec<_> = required.map(|parameter| parameter["name"].as_str().unwrap()).collect();
                assert!(query.iter().all(|name| *name == "topic"), "{path}");
                let query = if query.is_empty() { "" } else { "?topic=kept:1" };
                lab.ask("GET", &format!("{}{query}", path.trim_start_matches('/')), None).await
            }
            other => panic!("{other} {path}"),
        };
        assert_eq!(asked.status, 200, "{path}: {}", asked.text());
        let answer = content(&responses["200"]);
        assert_fits(&document, &answer["schema"], &asked.json(), path);
        if let Some(example) = answer.get("example") {
            assert_fits(&document, &answer["schema"], example, path);
        }
        // The other method is refused as the document says, and so is a query or a body that does not fit.
        let other = if method == "post" { "GET" } else { "POST" };
        let refused = lab.ask(other, path.trim_start_matches('/'), None).await;
        assert_eq!(refused.status, 405);
        assert_fits(&document, &content(&responses["405"])["schema"], &refused.json(), path);
        let wrong = format!("{}?nonsense=1", path.trim_start_matches('/'));
        let body = (method == "post").then_some(r#"{"nonsense": 1}"#);
        let refused = lab.ask(&method.to_uppercase(), &wrong, body).await;
        assert_eq!(refused.status, 400, "{path}");
        assert_fits(&document, &content(&responses["400"])["schema"], &refused.json(), path);
        for status in responses.keys().filter(|status| *status != "200") {
            assert_eq!(content(&responses[status])["schema"], json!({"$ref": "#/components/schemas/Error"}));
        }
        count += 1;
    }
    assert_eq!(count, 9, "an operation is not described, or does not exist");
}

/// Every parameter that is described is taken.
#[tokio::test]
async fn the_parameters_are_those_of_the_document() {
    let document = document();
    let lab = Lab::start(options()).await;
    lab.post("publish", json!({"topic": "kept:1", "event": "say", "payload": {"n": 1}})).await;
    let history = &document["paths"]["/history"]["get"]["parameters"];
    let names: Vec<_> = history.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["topic", "after", "before", "limit"]);
    let position = lab.lapwing.position("kept:1").unwrap();
    for query in [format!("after={position}"), format!("before={position}"), "limit=1".into()] {
        lab.get(&format!("history?topic=kept:1&{query}")).await;
    }
    for (schema, path) in [("Message", "publish"), ("Disconnect", "disconnect"), ("Kick", "kick")] {
        let schema = &document["components"]["schemas"][schema];
        let properties = schema["properties"].as_object().unwrap();
        let value = |name: &str| match properties[name]["type"].as_str().unwrap() {
            "boolean" => json!(true),
            "object" => json!({}),
            _ => json!("t"),
        };
        let required: Vec<_> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        // Each beside those that have to be there: not all go together.
        for name in properties.keys() {
            let names = required.iter().copied().chain([name.as_str()]);
            let body: Value =
                names.map(|name| (name.to_owned(), value(name))).collect::<serde_json::Map<_, _>>().into();
            lab.post(path, body).await;
        }
    }
}
