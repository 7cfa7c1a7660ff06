//! Uses between the files of a crate, from the parsed sources.
//!
//! Names are resolved as far as files need it: module declarations, `use` in all its forms (renamed, nested, globs, re-exports),
//! paths in code and in the arguments of macros. Methods are not: a call `model.run()` is seen by the type that the file names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, Meta, UseTree,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// Uses between the files of a crate: the line of the first one by the numbers of the user and the used file.
pub(super) type Edges = BTreeMap<(usize, usize), usize>;

/// The files of a crate and their uses of one another.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) files: Vec<File>,
    pub(super) edges: Edges,
}

/// A file of a crate.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the repository.
    pub(super) path: PathBuf,
    /// The top-level module that it belongs to; empty for the crate's root.
    pub(super) room: String,
    /// Modules around its own.
    pub(super) depth: usize,
    /// The file that declares its module.
    pub(super) parent: Option<usize>,
}

/// A module, in a file of its own or inside another.
#[derive(Debug, Default)]
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// Items that are no modules.
    items: BTreeSet<String>,
    uses: Vec<Import>,
    /// Paths in code, with their lines.
    paths: Vec<(Vec<String>, usize)>,
}

/// One name that a `use` brings; none for a glob.
#[derive(Debug)]
struct Import {
    name: Option<String>,
    path: Vec<String>,
    line: usize,
    /// Whether it is visible outside the module: a re-export, which uses nothing by itself.
    passed_on: bool,
}

/// Target of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// Something that the module defines.
    Item(usize),
}

/// Names that are being looked up, so that globs which name one another end.
type Pending = BTreeSet<(usize, String)>;

impl Source {
    /// Reads the crate in `folder`: what `src/lib.rs` and `src/main.rs` declare, tests left out.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or parsed, or a declared module without a file.
    pub(super) fn read(root: &Path, folder: &Path) -> Result<Self> {
        let mut source = Source::default();
        for name in ["lib.rs", "main.rs"] {
            let path = folder.join("src").join(name);
            if !root.join(&path).is_file() {
                continue;
            }
            let mut tree = Tree {
                root,
                source: &mut source,
                modules: Vec::new(),
            };
            tree.add_file(path, None, "")?;
            tree.find_edges();
        }
        Ok(source)
    }

    fn use_of(&mut self, from: usize, to: usize, line: usize) {
        if from != to {
            let first = self.edges.entry((from, to)).or_insert(line);
            *first = line.min(*first);
        }
    }
}

/// The modules below one root file.
struct Tree<'a> {
    root: &'a Path,
    source: &'a mut Source,
    modules: Vec<Module>,
}

impl Tree<'_> {
    /// Parses a file into a module, and what it declares.
    fn add_file(&mut self, path: PathBuf, parent: Option<usize>, room: &str) -> Result<usize> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(self.root.join(&path))
            .with_context(|| format!("cannot read {shown}"))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("cannot parse {shown}"))?;
        // Modules of `a.rs` lie in `a/`, those of `mod.rs`, `lib.rs` and `main.rs` beside it.
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let stem = path.file_stem().unwrap_or_default();
        let own = if ["mod", "lib", "main"].iter().any(|name| stem == *name) {
            folder.clone()
        } else {
            folder.join(stem)
        };
        self.source.files.push(File {
            path,
            room: room.to_owned(),
            parent: parent.map(|module| self.modules[module].file),
            depth: std::iter::successors(parent, |&module| self.modules[module].parent).count(),
        });
        let file = self.source.files.len() - 1;
        self.add_module(parsed.items, file, parent, [&own, &folder], room)
    }

    /// Adds a module; its own modules lie in the first folder, those with `#[path]` in the second.
    fn add_module(
        &mut self,
        items: Vec<Item>,
        file: usize,
        parent: Option<usize>,
        [own, beside]: [&Path; 2],
        room: &str,
    ) -> Result<usize> {
        let index = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            ..Module::default()
        });
        let mut collect = Collect::default();
        for item in items {
            let Item::Mod(declared) = item else {
                collect.visit_item(&item);
                collect.define(&item);
                continue;
            };
            if is_for_tests(&declared.attrs) {
                continue;
            }
            let name = declared.ident.to_string();
            let room = if room.is_empty() { &name } else { room };
            let child = match declared.content {
                Some((_, items)) => {
                    let inner = own.join(&name);
                    self.add_module(items, file, Some(index), [&inner, &inner], room)?
                }
                None => {
                    let place = match path_attribute(&declared.attrs) {
                        Some(path) => beside.join(path),
                        None => [
                            own.join(format!("{name}.rs")),
                            own.join(&name).join("mod.rs"),
                        ]
                        .into_iter()
                        .find(|path| self.root.join(path).is_file())
                        .with_context(|| {
                            format!("module {name} has no file in {}", own.display())
                        })?,
                    };
                    self.add_file(place, Some(index), room)?
                }
            };
            self.modules[index].children.insert(name, child);
        }
        let module = &mut self.modules[index];
        module.items = collect.items;
        module.uses = collect.uses;
        module.paths = collect.paths;
        Ok(index)
    }

    fn find_edges(&mut self) {
        for index in 0..self.modules.len() {
            let module = &self.modules[index];
            let imports = module
                .uses
                .iter()
                .filter(|import| !import.passed_on && import.name.is_some())
                .map(|import| (&import.path, import.line));
            let paths = module.paths.iter().map(|(path, line)| (path, *line));
            let found: Vec<(usize, usize)> = imports
                .chain(paths)
                .filter_map(|(path, line)| {
                    match self.resolve(index, path, &mut Pending::new())? {
                        // The name of a module alone takes nothing out of it.
                        Target::Module(_) => None,
                        Target::Item(module) => Some((self.modules[module].file, line)),
                    }
                })
                .collect();
            let from = module.file;
            for (to, line) in found {
                self.source.use_of(from, to, line);
            }
        }
    }

    /// Follows a path from a module through re-exports to what defines its end.
    fn resolve(&self, from: usize, path: &[String], pending: &mut Pending) -> Option<Target> {
        let mut target = Target::Module(from);
        for (place, word) in path.iter().enumerate() {
            let Target::Module(module) = target else {
                break; // A variant, or something associated with a type.
            };
            target = match word.as_str() {
                "crate" => Target::Module(0),
                "self" => target,
                "super" => Target::Module(self.modules[module].parent?),
                word => {
                    let last = place + 1 == path.len();
                    match self.look_up(module, word, last, pending) {
                        Some(found) => found,
                        // Made by a macro, or a macro itself: where the path looks for it.
                        None if place > 0 => Target::Item(module),
                        None => return None,
                    }
                }
            };
        }
        Some(target)
    }

    /// Finds a name in a module: what it defines, imports, or has by a glob.
    fn look_up(
        &self,
        module: usize,
        name: &str,
        last: bool,
        pending: &mut Pending,
    ) -> Option<Target> {
        let of = &self.modules[module];
        let item = of.items.contains(name).then_some(Target::Item(module));
        let child = of.children.get(name).map(|&child| Target::Module(child));
        // A function may be called as a module is: at the end of a path it is meant, before that the module.
        let own = if last { item.or(child) } else { child.or(item) };
        if own.is_some() || !pending.insert((module, name.to_owned())) {
            return own;
        }
        let named = of
            .uses
            .iter()
            .filter(|import| import.name.as_deref() == Some(name))
            .find_map(|import| self.resolve(module, &import.path, pending));
        let found = named.or_else(|| {
            let mut globs = of.uses.iter().filter(|import| import.name.is_none());
            globs.find_map(|glob| match self.resolve(module, &glob.path, pending)? {
                Target::Module(inner) if inner != module => {
                    self.look_up(inner, name, last, pending)
                }
                _ => None,
            })
        });
        pending.remove(&(module, name.to_owned()));
        found
    }
}

/// Gathers what one module defines and names.
#[derive(Default)]
struct Collect {
    items: BTreeSet<String>,
    uses: Vec<Import>,
    paths: Vec<(Vec<String>, usize)>,
    /// Variables of the functions around the place that is visited.
    variables: Vec<BTreeSet<String>>,
}

impl Collect {
    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::TraitAlias(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        self.items.extend(name.map(ToString::to_string));
    }

    fn import(&mut self, tree: &UseTree, mut path: Vec<String>, passed_on: bool) {
        let line = tree.span().start().line;
        let (name, word) = match tree {
            UseTree::Path(next) => {
                path.push(next.ident.to_string());
                return self.import(&next.tree, path, passed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), passed_on);
                }
                return;
            }
            UseTree::Name(name) => (Some(name.ident.to_string()), name.ident.to_string()),
            UseTree::Rename(name) => (Some(name.rename.to_string()), name.ident.to_string()),
            UseTree::Glob(_) => (None, "self".to_owned()),
        };
        // `a::{self}` is called `a`.
        let name = match (name, path.last()) {
            (Some(name), Some(last)) if name == "self" => Some(last.clone()),
            (name, _) => name,
        };
        if word != "self" {
            path.push(word);
        }
        self.uses.push(Import {
            name,
            path,
            line,
            passed_on,
        });
    }

    /// Paths in the arguments of a macro: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut line = 0;
        // Colons since the last name, and whether the path belongs to the place where the macro is called.
        let (mut colons, mut foreign) = (0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add_path(std::mem::take(&mut path), line);
                        line = name.span().start().line;
                    }
                    if !foreign {
                        path.push(name.to_string());
                    }
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.add_path(std::mem::take(&mut path), line);
                    colons = 0;
                    foreign = matches!(&other, TokenTree::Punct(mark) if mark.as_char() == '$');
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.add_path(path, line);
    }

    fn add_path(&mut self, path: Vec<String>, line: usize) {
        let variable = match path.as_slice() {
            [] => return,
            [name] => self.variables.iter().any(|names| names.contains(name)),
            _ => false,
        };
        if !variable {
            self.paths.push((path, line));
        }
    }

    /// Visits a function; its variables are no names of the module.
    fn function(&mut self, names: Names, visit: impl FnOnce(&mut Self)) {
        self.variables.push(names.0);
        visit(self);
        self.variables.pop();
    }
}

/// Names that patterns bind.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        self.0.insert(pattern.ident.to_string());
        visit::visit_pat_ident(self, pattern);
    }
}

impl<'ast> Visit<'ast> for Collect {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let passed_on = !matches!(item.vis, syn::Visibility::Inherited);
        // `use ::name` is another crate.
        if item.leading_colon.is_none() {
            self.import(&item.tree, Vec::new(), passed_on);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let mut names = Names::default();
        names.visit_item_fn(item);
        self.function(names, |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            let mut names = Names::default();
            names.visit_impl_item_fn(item);
            self.function(names, |this| visit::visit_impl_item_fn(this, item));
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let words = path.segments.iter().map(|word| word.ident.to_string());
            self.add_path(words.collect(), path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // A macro without a path is in scope by its place in the text, whatever file that is.
        if call.path.segments.len() > 1 {
            self.visit_path(&call.path);
        }
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether something is compiled for tests alone: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    fn asks_for_test(meta: &Meta) -> bool {
        match meta {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(
                    syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated,
                )
                .is_ok_and(|all| all.iter().any(asks_for_test)),
            _ => false,
        }
    }
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => list
            .parse_args::<Meta>()
            .is_ok_and(|meta| asks_for_test(&meta)),
        _ => false,
    })
}

/// The file that `#[path = ".."]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes
        .iter()
        .find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                syn::Expr::Lit(syn::ExprLit {
                    lit: syn::Lit::Str(text),
                    ..
                }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
}
