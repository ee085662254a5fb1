//! Variables: limits, increments, and what is on disk when.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde_json::json;

use super::*;

#[test]
fn names_and_values_have_limits_and_a_refusal_changes_nothing() {
    let variables = Variables::new();
    variables.set("a", json!(1)).unwrap();
    let long = "n".repeat(NAME_BYTES_MAX);
    for (name, value, expected) in [
        ("", json!(1), Err(VariableError::Name)),
        ("a\nb", json!(1), Err(VariableError::Name)),
        (&*format!("{long}n"), json!(1), Err(VariableError::Name)),
        (&*long, json!(1), Ok(())),
        ("b c ü", json!(1), Ok(())),
        ("a", json!("x".repeat(VALUE_BYTES_MAX - 2)), Ok(())),
        ("a", json!("x".repeat(VALUE_BYTES_MAX - 1)), Err(VariableError::ValueTooLong(VALUE_BYTES_MAX + 1))),
    ] {
        assert_eq!(variables.set(name, value), expected, "{name:.20}");
    }
    assert_eq!(variables.get("a"), Some(json!("x".repeat(VALUE_BYTES_MAX - 2))));
    let nested = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    assert_eq!(variables.set("deep", nested(VALUE_DEPTH_MAX)), Ok(()));
    assert_eq!(variables.set("deep", nested(VALUE_DEPTH_MAX + 1)), Err(VariableError::ValueTooDeep));
    let value = json!("x".repeat(VALUE_BYTES_MAX - 2));
    let refused = (0..1000).map(|n| variables.set(&format!("v{n}"), value.clone())).find(Result::is_err);
    assert_eq!(refused, Some(Err(VariableError::TooLarge)));
    assert!(variables.delete("v0") && !variables.delete("v0"));
    variables.set("again", value).unwrap();
}

#[test]
fn there_are_only_so_many() {
    let variables = Variables::new();
    for n in 0..VARIABLES_MAX {
        variables.set(&n.to_string(), json!(n)).unwrap();
    }
    assert_eq!(variables.set("more", json!(1)), Err(VariableError::TooMany));
    assert_eq!(variables.increment("more", 1), Err(VariableError::TooMany));
    variables.set("7", json!("changed")).unwrap();
    assert!(variables.delete("7"));
    variables.set("more", json!(1)).unwrap();
}

#[test]
fn increments_count_from_nothing_and_refuse_what_they_cannot_do() {
    let variables = Variables::new();
    assert_eq!(variables.increment("n", 2), Ok(2));
    assert_eq!(variables.increment("n", -3), Ok(-1));
    for (value, by, expected) in [
        (json!(i64::MAX), 1, VariableError::Overflow),
        (json!(i64::MIN), -1, VariableError::Overflow),
        (json!(u64::MAX), -1, VariableError::Overflow),
        (json!(1.0), 1, VariableError::NotAnInteger),
        (json!("1"), 1, VariableError::NotAnInteger),
        (json!(null), 1, VariableError::NotAnInteger),
    ] {
        variables.set("n", value.clone()).unwrap();
        assert_eq!(variables.increment("n", by), Err(expected), "{value}");
        assert_eq!(variables.get("n"), Some(value));
    }
}

#[test]
fn what_is_saved_is_loaded_and_numbers_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    let variables = Variables::load(&path).unwrap();
    assert!(!variables.save_if_changed().unwrap(), "nothing to save");
    assert!(!path.exists());
    let values = [
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.1 + 0.2),
        json!(5e-324),
        json!(1.797_693_134_862_315_7e308),
        json!(-0.0),
        json!(9_007_199_254_740_993_u64),
        json!(2.225_073_858_507_201_4e-308),
        json!({"a": [1, {"b": "\u{e9}\u{1f980}\n\"\\"}], "": null}),
    ];
    for (at, value) in values.iter().enumerate() {
        variables.set(&format!("v \"{at}"), value.clone()).unwrap();
    }
    assert!(variables.save_if_changed().unwrap());
    assert!(!variables.save_if_changed().unwrap(), "already saved");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let loaded = Variables::load(&path).unwrap();
    for (at, value) in values.iter().enumerate() {
        let kept = loaded.get(&format!("v \"{at}")).unwrap();
        assert_eq!(&kept, value);
        assert_eq!(kept.as_f64().map(f64::to_bits), value.as_f64().map(f64::to_bits), "{value}");
    }
    assert!(!loaded.save_if_changed().unwrap());
    assert!(loaded.delete("v \"0"));
    assert!(loaded.save_if_changed().unwrap());
    assert_eq!(Variables::load(&path).unwrap().get("v \"0"), None);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies beside it");
}

#[test]
fn every_double_survives_the_file() {
    use proptest::prelude::*;
    proptest!(|(double in any::<f64>().prop_filter("JSON has it", |double| double.is_finite()))| {
        let text = file::render([("x".to_owned(), json!(double))].iter().map(|(name, value)| (name, value))).unwrap();
        let read: Value = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(read["x"].as_f64().map(f64::to_bits), Some(double.to_bits()));
    });
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    for damaged in ["", "{", "[]", "{\"a\":1} x", "{\"\":1}", "\0\0\0\0"] {
        std::fs::write(&path, damaged).unwrap();
        let error = Variables::load(&path).unwrap_err().to_string();
        assert!(error.contains("w.json") && error.contains("move it away"), "{damaged:?}: {error}");
    }
    assert!(Variables::load(folder.path()).is_err(), "a folder is no file");
}

#[test]
fn a_failed_save_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later").join("w.json");
    let variables = Variables::load(&path).unwrap();
    variables.set("a", json!(1)).unwrap();
    assert!(variables.save_if_changed().is_err(), "there is no such folder");
    std::fs::create_dir(folder.path().join("later")).unwrap();
    std::fs::write(path.with_extension("json.new"), "left by a crash").unwrap();
    assert!(variables.save_if_changed().unwrap());
    assert_eq!(Variables::load(&path).unwrap().get("a"), Some(json!(1)));
}

#[test]
fn changes_during_a_save_are_saved_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    let variables = Arc::new(Variables::load(&path).unwrap());
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let variables = Arc::clone(&variables);
            std::thread::spawn(move || (0..1000).for_each(|_| drop(variables.increment("n", 1))))
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        variables.save_if_changed().unwrap();
        Variables::load(&path).unwrap();
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    variables.save_if_changed().unwrap();
    assert_eq!(Variables::load(&path).unwrap().get("n"), Some(json!(4000)));
}
