//! The project's rules about itself, as tests.

use quorate_xtask::{crdgen, layering, planted, tidy, workspace};

#[test]
fn sources_are_tidy() {
    let report = tidy::check(&workspace()).expect("the sources can be read");
    assert!(report.errors.is_empty(), "{}", report.errors.join("\n"));
}

#[test]
fn definitions_are_generated() {
    let wrong = crdgen::check(&workspace()).expect("the files can be read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dependencies_point_one_way_and_the_core_is_pure() {
    let wrong = layering::check(&workspace()).expect("cargo can be asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn planted_bugs_apply() {
    let root = workspace();
    let bugs = planted::read(&root).expect("the patches can be read");
    assert!(!bugs.is_empty());
    let failing = planted::not_applying(&root, &bugs).expect("git can be asked");
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}
