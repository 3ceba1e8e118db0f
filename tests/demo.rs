//! The story that `quorate demo cart` tells.

mod command;

use command::{quorate, run};

#[test]
fn the_cart_demo_tells_the_story_and_nothing_is_lost() {
    let said = run(quorate().args(["demo", "cart"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let story = [
        "1. A cluster of three nodes.",
        "node-3 on 127.0.0.1:",
        "put [book]  ->  context {node-1:1}",
        "got [book], context {node-1:1}",
        "put [book, pen]  ->  context {node-1:2}",
        "put [book, mug]  ->  context {node-1:1, node-2:1}",
        "sibling 1 of 2: [book, mug]",
        "sibling 2 of 2: [book, pen]",
        "one context for both: {node-1:2, node-2:1}",
        "node-3 dies: SIGKILL",
        "put [book, mug, pen]  ->  context {node-1:3, node-2:1}",
        "got [book, mug, pen], context {node-1:3, node-2:1}",
        "put [book, lamp, mug, pen]  ->  context {node-1:3, node-2:2}",
        "node-3 comes back",
        "got [book, lamp, mug, pen], context {node-1:3, node-2:2}",
        "Nothing was lost.",
    ];
    let mut rest = said.out.as_str();
    for part in story {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing or too early in:\n{}", said.out));
        rest = &rest[at + part.len()..];
    }
}
