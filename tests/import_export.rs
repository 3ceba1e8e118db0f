//! Data goes in as JSON lines and comes out as it went in, whatever dies meanwhile.

mod command;

use std::path::Path;
use std::process::Stdio;

use command::{Dev, directory, eventually, run_with_input, signal};
use serde_json::Value;

/// Lines of a kilobyte or so, sorted by key.
fn lines(count: usize) -> String {
    let line = |at: usize| {
        let words: Vec<String> = (0..at % 150).map(|word| format!("\"word {word} ä\"")).collect();
        format!(
            "{{\"key\":\"key-{at:06}\",\"value\":{{\"at\": {at}.0, \"words\":[{}]}}}}\n",
            words.join(", ")
        )
    };
    (0..count).map(line).collect()
}

fn export(dev: &Dev, flags: &[&str]) -> String {
    let said = dev.run(["export", "--sort"].iter().chain(flags));
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).expect("it can be written");
    path.to_str().expect("a name").to_owned()
}

#[test]
fn every_kind_of_value_comes_back() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--bucket", "odd"]);
    let input = concat!(
        r#"{"key":"array","value":[1,  2]}"#,
        "\n",
        r#"{"key":"escaped \"key\"\n","value":"\u00e4\/"}"#,
        "\n",
        r#"{"key":"null","value":null}"#,
        "\n",
        r#"{"key":"number","value":1.50e3}"#,
        "\n",
        r#"{"key":"raw","value_base64":"/wA=","content_type":"image/png"}"#,
        "\n",
        r#"{"key":"several","siblings":[{"value":1},{"value_base64":"AA==","content_type":"text/plain"}]}"#,
        "\n",
        r#"{"key_base64":"/w==","value":true}"#,
        "\n",
    );
    let imported = run_with_input(&mut dev.command(["import", "-", "--bucket", "odd"]), input.as_bytes());
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_eq!(export(&dev, &["--bucket", "odd"]), input);
    assert_eq!(export(&dev, &[]), "", "the default bucket has nothing of it");

    let out = data.path().join("out.jsonl");
    let to_file = dev.run(["export", "--sort", "--bucket", "odd", "--out", out.to_str().expect("a name")]);
    assert_eq!(to_file.code, Some(0), "{to_file:?}");
    assert_eq!(std::fs::read_to_string(&out).expect("it is there"), input);
}

#[test]
fn an_import_outlives_the_death_of_a_node() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--restart"]);
    let input = lines(8_000);
    let file = write(&data.path().join("in.jsonl"), &input);
    let checkpoint = data.path().join("checkpoint");
    let import = dev
        .command(["import", &file, "--output", "json", "--resume", checkpoint.to_str().expect("a name")])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts");
    eventually("some of it is stored", || !dev.run(["keys", "--limit", "1"]).out.is_empty());
    signal(dev.pids()[1], "-KILL");
    let said = command::Said::by(&import.wait_with_output().expect("it was ours")).json();
    assert_eq!(said["lines"], 8_000);
    dev.wait_for_note("node-2 runs again");
    assert_eq!(export(&dev, &[]), input);
}

#[test]
fn a_killed_import_goes_on_and_stores_nothing_twice() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let input = lines(15_000);
    let file = write(&data.path().join("in.jsonl"), &input);
    let checkpoint = data.path().join("checkpoint");
    let resume = checkpoint.to_str().expect("a name");
    let command =
        || dev.command(["import", &file, "--in-flight", "32", "--output", "json", "--resume", resume]);
    let mut import = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    eventually("it has come some way", || {
        let known = std::fs::read(&checkpoint).unwrap_or_default();
        let known: Value = serde_json::from_slice(&known).unwrap_or_default();
        known["done"]["lines"].as_u64().is_some_and(|lines| lines > 0)
    });
    import.kill().expect("it is ours");
    import.wait().expect("it was ours");
    let said = command::run(&mut command()).json();
    assert_ne!(said["lines_before"], 0);
    let done = said["lines"].as_u64().zip(said["lines_before"].as_u64());
    assert_eq!(done.map(|(now, before)| now + before), Some(15_000));
    assert_eq!(export(&dev, &[]), input, "each line once, and no siblings");

    let changed = input.replacen("ä", "ö", 1);
    write(&data.path().join("in.jsonl"), &changed);
    let refused = command::run(&mut command());
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("has changed"), "{refused:?}");
}

#[test]
fn an_interrupted_export_goes_on() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let input = lines(5_000);
    assert_eq!(run_with_input(&mut dev.command(["import", "-", "--beside"]), input.as_bytes()).code, Some(0));
    let out = data.path().join("out.jsonl");
    let export = || {
        dev.command([
            "export",
            "--in-flight",
            "4",
            "--resume",
            "--sort",
            "--out",
            out.to_str().expect("a name"),
        ])
    };
    let parts = data.path().join("out.jsonl.parts");
    let complete = || {
        let entries = std::fs::read_dir(&parts).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "jsonl")).count()
    };
    let mut first = export().stdout(Stdio::null()).spawn().expect("it starts");
    eventually("some of it is done", || complete() > 0 || out.exists());
    first.kill().expect("it is ours");
    first.wait().expect("it was ours");
    let said = command::run(&mut export());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(std::fs::read_to_string(&out).expect("it is there"), input);
    assert!(!parts.exists(), "the parts are put away");
}

#[test]
fn a_bad_line_is_named_and_those_before_it_are_stored() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let input = format!("{}{{\"key\":\"\",\"value\":1}}\n", lines(10));
    let refused = run_with_input(&mut dev.command(["import", "-"]), input.as_bytes());
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("line 11: key: it is empty"), "{refused:?}");
    assert!(refused.err.contains("the first 10 lines are stored"), "{refused:?}");
    assert_eq!(export(&dev, &[]), lines(10));

    let large = format!("{{\"key\":\"large\",\"value\":\"{}\"}}\n", "x".repeat(2 << 20));
    let refused = run_with_input(&mut dev.command(["import", "-"]), large.as_bytes());
    assert!(refused.err.contains("line 1") && refused.err.contains("value: 2097154 bytes"), "{refused:?}");
}

#[test]
fn a_second_import_replaces_unless_asked_not_to() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let import = |text: &str, flags: &[&str]| {
        let said = run_with_input(dev.command(["import", "-"]).args(flags), text.as_bytes());
        assert_eq!(said.code, Some(0), "{said:?}");
    };
    import("{\"key\":\"k\",\"value\":1}\n", &[]);
    import("{\"key\":\"k\",\"value\":2}\n", &["--beside"]);
    let both = "{\"key\":\"k\",\"siblings\":[{\"value\":1},{\"value\":2}]}\n";
    assert_eq!(export(&dev, &[]), both);
    import("{\"key\":\"k\",\"value\":3}\n{\"key\":\"k\",\"value\":4}\n", &[]);
    assert_eq!(export(&dev, &[]), "{\"key\":\"k\",\"value\":4}\n", "the later line stays");
    import(both, &[]);
    assert_eq!(export(&dev, &[]), both, "siblings come back as such");
    assert_eq!(dev.run(["delete", "k"]).code, Some(0));
    import("{\"key\":\"k\",\"value\":4}\n", &[]);
    assert_eq!(
        export(&dev, &[]),
        "{\"key\":\"k\",\"value\":4}\n",
        "an import is not a retry of an earlier one"
    );
}
