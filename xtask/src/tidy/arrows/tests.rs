//! The check on small trees.

use std::fs;

use super::*;

/// A tree of files in a folder that is removed in the end.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    folder
}

fn source(files: &[(&str, &str)]) -> Source {
    Source::read(tree(files).path(), Path::new("")).expect("parsed")
}

/// Problems of a crate without an order and without exceptions.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    of_files(&source(files), None, false, &mut Vec::new())
}

const LIB: (&str, &str) = ("src/lib.rs", "mod a;\nmod b;\nmod c;\n");
const EMPTY: (&str, &str) = ("src/c.rs", "pub struct C;\n");

#[test]
fn two_files_in_a_circle_are_named_with_their_lines() {
    let problems = found(&[
        LIB,
        ("src/a.rs", "\nuse crate::b::B;\npub struct A(B);\n"),
        ("src/b.rs", "use crate::a::A;\npub struct B(Box<A>);\n"),
        EMPTY,
    ]);
    assert_eq!(
        problems,
        ["files in a circle: src/a.rs:2 uses src/b.rs, src/b.rs:1 uses src/a.rs"]
    );
}

#[test]
fn three_files_in_a_circle_are_named() {
    let problems = found(&[
        LIB,
        (
            "src/a.rs",
            "use crate::{b::{self, B}, c};\npub struct A(B);\n",
        ),
        (
            "src/b.rs",
            "use crate::c::C as Other;\npub struct B(Other);\n",
        ),
        ("src/c.rs", "use crate::a::*;\npub struct C(Box<A>);\n"),
    ]);
    assert_eq!(
        problems,
        [
            "files in a circle: src/a.rs:1 uses src/b.rs, src/b.rs:1 uses src/c.rs, src/c.rs:2 uses src/a.rs"
        ]
    );
}

#[test]
fn inline_paths_are_uses_in_code_and_in_macros() {
    for code in [
        "pub fn f() { crate::b::g() }",
        "pub fn f() { super::b::g() }",
        "pub fn f() { println!(\"{:?}\", [1, crate::b::g()]) }",
        "pub fn f(_: &dyn Fn(crate::b::B)) {}",
        "pub fn f() { use crate::b; b::g() }",
    ] {
        let a = format!("pub struct A;\n{code}\n");
        let b = "pub struct B;\npub fn g() { let _ = crate::a::A; }\n";
        let problems = found(&[LIB, ("src/a.rs", &a), ("src/b.rs", b), EMPTY]);
        assert_eq!(
            problems,
            ["files in a circle: src/a.rs:2 uses src/b.rs, src/b.rs:2 uses src/a.rs"],
            "{code}"
        );
    }
}

#[test]
fn a_module_that_uses_what_uses_it_through_super_is_a_circle() {
    let files = |parent: &'static str| {
        [
            ("src/lib.rs", "mod a;\n"),
            ("src/a/mod.rs", parent),
            ("src/a/inner.rs", "use super::A;\npub struct Inner(A);\n"),
        ]
    };
    let using = files("mod inner;\npub struct A;\npub fn f(_: inner::Inner) {}\n");
    let problems = found(&using);
    assert_eq!(
        problems,
        [
            "files in a circle: src/a/mod.rs:3 uses src/a/inner.rs, src/a/inner.rs:1 uses src/a/mod.rs"
        ]
    );
    // Allowed where submodules may use what is around them.
    let source = source(&using);
    assert!(has_nested_circles(&source));
    let problems = of_files(&source, None, true, &mut Vec::new());
    assert_eq!(problems, Vec::<String>::new());
    // To pass a name on is no use.
    let passing = files("mod inner;\npub use inner::Inner;\npub struct A;\n");
    assert_eq!(found(&passing), Vec::<String>::new());
    // To pass it on and to name it is one.
    let both = files("mod inner;\npub use inner::Inner;\npub struct A;\nimpl Inner {}\n");
    assert_eq!(found(&both).len(), 1);
}

#[test]
fn a_name_leads_through_re_exports_to_the_file_that_defines_it() {
    let problems = found(&[
        ("src/lib.rs", "mod a;\nmod b;\nmod c;\npub use c::*;\n"),
        ("src/a.rs", "use crate::C;\npub struct A(C);\n"),
        ("src/b.rs", "pub use crate::a::A as Renamed;\n"),
        (
            "src/c.rs",
            "use super::b::Renamed;\npub struct C(Box<Renamed>);\n",
        ),
    ]);
    assert_eq!(
        problems,
        ["files in a circle: src/a.rs:1 uses src/c.rs, src/c.rs:1 uses src/a.rs"]
    );
}

#[test]
fn a_tree_without_circles_has_no_problems() {
    let problems = found(&[
        // Names of modules, globs that name each other, a variable that is called as a function elsewhere.
        (
            "src/lib.rs",
            "mod a;\nmod b;\nmod c;\npub use a::*;\npub use b::*;\n",
        ),
        (
            "src/a.rs",
            "use crate::{b, c};\npub struct A(b::B, c::C);\n",
        ),
        (
            "src/b.rs",
            "use crate::*;\nuse crate::a;\npub struct B;\nfn f(g: u32) -> u32 { g }\n\
             #[cfg(test)]\nmod tests {\n    use crate::a::A;\n    fn f(_: A) {}\n}\n\
             #[cfg(all(test, unix))]\nuse crate::a::A;\n",
        ),
        (
            "src/c.rs",
            "use std::fmt;\npub struct C;\npub(in crate::a) fn g() { missing!(crate) }\n",
        ),
    ]);
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn modules_are_found_inline_and_by_a_path() {
    let source = source(&[
        (
            "src/lib.rs",
            "mod inline { pub mod deep; }\n#[path = \"odd/name.rs\"]\nmod named;\n",
        ),
        (
            "src/inline/deep.rs",
            "pub struct Deep(crate::named::Named);\n",
        ),
        ("src/odd/name.rs", "pub struct Named;\n"),
    ]);
    let uses: Vec<_> = source.edges.iter().collect();
    assert_eq!(uses, [(&(1, 2), &1)]);
    assert_eq!(source.files[1].room, "inline");
    let missing = tree(&[("src/lib.rs", "mod gone;\n")]);
    assert!(Source::read(missing.path(), Path::new("")).is_err());
}

const ORDER: Order = Order {
    package: "any",
    levels: &[&["low"], &["high"]],
};

const UPWARD: [(&str, &str); 3] = [
    ("src/lib.rs", "mod low;\nmod high;\n"),
    ("src/low/mod.rs", "pub fn f() {\n    crate::high::g()\n}\n"),
    ("src/high.rs", "pub fn g() {}\n"),
];

#[test]
fn a_use_against_the_order_is_named_and_one_with_it_is_not() {
    let problems = of_files(&source(&UPWARD), Some(&ORDER), false, &mut Vec::new());
    assert_eq!(
        problems,
        ["src/low/mod.rs:2 uses src/high.rs, against the order of modules: low is below high"]
    );
    let downward = source(&[
        ("src/lib.rs", "mod low;\nmod high;\nmod free;\n"),
        ("src/low.rs", "pub fn f() { crate::free::f() }\n"),
        ("src/high.rs", "pub fn g() { crate::low::f() }\n"),
        ("src/free.rs", "pub fn f() {}\n"),
    ]);
    let problems = of_files(&downward, Some(&ORDER), false, &mut Vec::new());
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_known_use_is_passed_over_while_it_does_harm() {
    let known = |from, to| Known { from, to };
    let [harmful, gone] = [
        known("src/low/mod.rs", "src/high.rs"),
        known("src/high.rs", "src/low/mod.rs"),
    ];
    let mut left = vec![&harmful, &gone];
    let problems = of_files(&source(&UPWARD), Some(&ORDER), false, &mut left);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(left.len(), 1, "what does no harm is left, and fails");
    assert_eq!(left[0].from, "src/high.rs");
    // Without the order, the use does none.
    let mut left = vec![&harmful];
    of_files(&source(&UPWARD), None, false, &mut left);
    assert_eq!(left.len(), 1);
}

#[test]
fn dependencies_follow_the_order_of_crates() {
    let manifest = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{rest}");
    let problems = |files: &[(&str, String)]| {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.into()).collect();
        of_crates(&packages(tree(&files).path(), &paths).expect("read"))
    };
    let good = [
        (
            "runtime/Cargo.toml",
            manifest(
                "fewbit-runtime",
                "[dev-dependencies]\nfewbit-runtime = { path = \".\" }\n",
            ),
        ),
        (
            "host/Cargo.toml",
            manifest(
                "fewbit",
                "[dependencies]\nfewbit-runtime.workspace = true\nserde = \"1\"\n",
            ),
        ),
        (
            "boards/pico/Cargo.toml",
            manifest("pico", "[dependencies]\nfewbit-runtime.workspace = true\n"),
        ),
    ];
    assert_eq!(problems(&good), Vec::<String>::new());
    let bad = [
        (
            "runtime/Cargo.toml",
            manifest(
                "fewbit-runtime",
                "[build-dependencies]\nother = { package = \"fewbit\" }\n",
            ),
        ),
        ("host/Cargo.toml", manifest("fewbit", "")),
        (
            "boards/pico/Cargo.toml",
            manifest(
                "pico",
                "[target.'cfg(unix)'.dependencies]\nfewbit.workspace = true\n",
            ),
        ),
        ("more/Cargo.toml", manifest("more", "")),
        ("Cargo.toml", "[workspace]\n".to_owned()),
    ];
    assert_eq!(
        problems(&bad),
        [
            "boards/pico/Cargo.toml: pico depends on fewbit, against the order of crates",
            "more/Cargo.toml: the package more has no place in the order of crates (xtask/src/tidy/arrows/order.rs)",
            "runtime/Cargo.toml: fewbit-runtime depends on fewbit, against the order of crates",
        ]
    );
}
