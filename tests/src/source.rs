//! Owns the reading of a crate's source files: which modules it has but for tests, which file uses
//! which, where the methods of its types are, and in which order functions take what they are given.
//! Never judges what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A module's path from the root of its crate; empty for the root.
pub type Module = Vec<String>;

/// The source files of a crate, without what only tests have.
#[derive(Debug, Default)]
pub struct Source {
    files: BTreeMap<Module, File>,
}

/// One source file.
#[derive(Debug, Default)]
struct File {
    /// Names that it gives to what is defined elsewhere, for others to use.
    exports: BTreeMap<String, Names>,
    /// Files of the types whose inherent methods are here.
    implements: BTreeSet<String>,
    /// What it imports or names by its path.
    imports: Vec<Names>,
    /// Public functions that take `now` before something else.
    early: Vec<String>,
    /// Names of everything that it imports, for finding out where a type is from.
    names: BTreeMap<String, Names>,
    /// Its string literals.
    strings: Vec<String>,
    /// Types that it defines.
    types: BTreeSet<String>,
}

type Names = Vec<String>;

/// Begins a path that is not from the crate's root: of another crate, or of a module that is declared
/// here.
const HERE: &str = "";

impl File {
    /// Of paths that begin here those stay that name a `declared` module.
    fn keep_own(&mut self, module: &Module, declared: &[String]) {
        let own = |path: &Names| match path[0].as_str() {
            HERE if declared.contains(&path[1]) => Some([module, &path[1..]].concat()),
            HERE => None,
            _ => Some(path.clone()),
        };
        self.imports = self.imports.iter().filter_map(own).collect();
        for names in [&mut self.exports, &mut self.names] {
            *names = names
                .iter()
                .filter_map(|(name, path)| Some((name.clone(), own(path)?)))
                .collect();
        }
    }
}

impl Source {
    /// Reads the crate whose root file is in `directory`.
    ///
    /// # Panics
    /// Where a file cannot be read or is no Rust.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let mut source = Self::default();
        source.read_module(Vec::new(), &directory.join("lib.rs"), directory);
        source
    }

    fn read_module(&mut self, module: Module, path: &Path, children: &Path) {
        let text = fs::read_to_string(path).expect("source files can be read");
        let syntax = syn::parse_file(&text).expect("source files are Rust");
        let mut file = File::default();
        let mut declared = Vec::new();
        for item in &syntax.items {
            if is_for_tests(attributes(item)) {
                continue;
            }
            if let Item::Mod(child) = item
                && child.content.is_none()
            {
                declared.push(child.ident.to_string());
            }
            let mut reader = Reader {
                file: &mut file,
                module: &module,
            };
            reader.visit_item(item);
        }
        file.keep_own(&module, &declared);
        self.files.insert(module.clone(), file);
        for name in declared {
            let mut child = module.clone();
            child.push(name.clone());
            let flat = children.join(format!("{name}.rs"));
            let folder = children.join(&name);
            let path: PathBuf = if flat.exists() {
                flat
            } else {
                folder.join("mod.rs")
            };
            self.read_module(child, &path, &folder);
        }
    }

    /// All modules.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.files.keys()
    }

    /// The files that this one uses, itself left out. A module that passes on what its own parts
    /// define does not use them by that.
    #[must_use]
    pub fn uses(&self, module: &Module) -> BTreeSet<Module> {
        let file = &self.files[module];
        let passed_on = |path: &Names| file.exports.values().any(|export| export == path);
        let mut used = BTreeSet::new();
        for path in &file.imports {
            let Some(found) = self.resolve(path) else {
                continue;
            };
            let is_part = found.len() > module.len() && found.starts_with(module);
            if found != *module && !(is_part && passed_on(path)) {
                used.insert(found);
            }
        }
        used
    }

    /// The string literals of a file.
    #[must_use]
    pub fn strings(&self, module: &Module) -> &[String] {
        &self.files[module].strings
    }

    /// The public functions of a file that take `now`, but not as the last of their arguments.
    #[must_use]
    pub fn early(&self, module: &Module) -> &[String] {
        &self.files[module].early
    }

    /// The names that a file gives to what is defined elsewhere, for others to use.
    pub fn exports(&self, module: &Module) -> impl Iterator<Item = &String> {
        self.files[module].exports.keys()
    }

    /// Types and the modules, other than their own, in which they have inherent methods.
    #[must_use]
    pub fn scattered(&self) -> Vec<(String, Module)> {
        let mut found = Vec::new();
        for (module, file) in &self.files {
            for name in &file.implements {
                let is_here = file.types.contains(name);
                let of_ours = file.names.get(name).and_then(|path| self.resolve(path));
                if !is_here && of_ours.is_some() {
                    found.push((name.clone(), module.clone()));
                }
            }
        }
        found
    }

    /// A circle of files that use each other, if there is one.
    #[must_use]
    pub fn circle(&self) -> Option<Vec<Module>> {
        let mut done = BTreeSet::new();
        let mut trail = Vec::new();
        self.files
            .keys()
            .find_map(|module| self.circle_from(module, &mut done, &mut trail))
    }

    fn circle_from(
        &self,
        module: &Module,
        done: &mut BTreeSet<Module>,
        trail: &mut Vec<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(start) = trail.iter().position(|other| other == module) {
            return Some(trail[start..].to_vec());
        }
        if done.contains(module) {
            return None;
        }
        trail.push(module.clone());
        let used = self.uses(module);
        let found = used
            .iter()
            .find_map(|next| self.circle_from(next, done, trail));
        trail.pop();
        done.insert(module.clone());
        found
    }

    /// The module that defines what a path from the root names; `None` for other crates.
    fn resolve(&self, path: &[String]) -> Option<Module> {
        let known = (1..=path.len())
            .rev()
            .find(|&length| self.files.contains_key(&path[..length]))
            .unwrap_or(0);
        let (module, rest) = path.split_at(known);
        let file = &self.files[module];
        match rest.first().and_then(|name| file.exports.get(name)) {
            Some(export) if export != path => {
                let mut full = export.clone();
                full.extend_from_slice(&rest[1..]);
                self.resolve(&full)
            }
            Some(_) | None if known == 0 && !rest.is_empty() => {
                file.types.contains(&rest[0]).then(Vec::new)
            }
            Some(_) | None => Some(module.to_vec()),
        }
    }
}

/// Takes down what one item says.
struct Reader<'a> {
    file: &'a mut File,
    module: &'a Module,
}

impl Reader<'_> {
    /// The path from the crate's root, or one that begins [`HERE`].
    fn absolute(&self, path: Names) -> Names {
        let mut base = self.module.clone();
        let mut rest = path.into_iter().peekable();
        match rest.peek().map(String::as_str) {
            Some("crate") => {
                base.clear();
                rest.next();
            }
            Some("self") => {
                rest.next();
            }
            Some("super") => {
                while rest.next_if(|name| name == "super").is_some() {
                    base.pop();
                }
            }
            Some(_) | None => base = vec![HERE.to_owned()],
        }
        base.extend(rest);
        base
    }

    fn note_order(&mut self, visibility: &syn::Visibility, signature: &syn::Signature) {
        let is_now = |input: &syn::FnArg| {
            let syn::FnArg::Typed(input) = input else {
                return false;
            };
            matches!(&*input.pat, syn::Pat::Ident(name) if name.ident == "now")
        };
        let inputs = &signature.inputs;
        let is_early = inputs.iter().rev().skip(1).any(is_now);
        if is_early && matches!(visibility, syn::Visibility::Public(_)) {
            self.file.early.push(signature.ident.to_string());
        }
    }

    fn add_use(&mut self, tree: &UseTree, prefix: &Names, is_export: bool) {
        let mut path = prefix.clone();
        let name = match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.add_use(&tree.tree, &path, is_export);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, prefix, is_export);
                }
                return;
            }
            UseTree::Glob(_) => "*".to_owned(),
            UseTree::Name(tree) if tree.ident == "self" => path.last().cloned().unwrap_or_default(),
            UseTree::Name(tree) => {
                path.push(tree.ident.to_string());
                tree.ident.to_string()
            }
            UseTree::Rename(tree) => {
                path.push(tree.ident.to_string());
                tree.rename.to_string()
            }
        };
        let path = self.absolute(path);
        if path.is_empty() {
            return;
        }
        if is_export {
            self.file.exports.insert(name.clone(), path.clone());
        }
        self.file.names.insert(name, path.clone());
        self.file.imports.push(path);
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let is_export = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_use(&item.tree, &Vec::new(), is_export);
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.note_order(&item.vis, &item.sig);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.note_order(&item.vis, &item.sig);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.file.types.insert(item.ident.to_string());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.file.types.insert(item.ident.to_string());
        visit::visit_item_enum(self, item);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty)
            && let Some(last) = of.path.segments.last()
        {
            self.file.implements.insert(last.ident.to_string());
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if names.len() > 1 && path.leading_colon.is_none() {
            let absolute = self.absolute(names);
            if !absolute.is_empty() {
                self.file.imports.push(absolute);
            }
        }
        visit::visit_path(self, path);
    }

    fn visit_lit_str(&mut self, literal: &'a syn::LitStr) {
        self.file.strings.push(literal.value());
    }

    // Documentation may name what lies above.
    fn visit_attribute(&mut self, _: &'a Attribute) {}
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
        Item::ExternCrate(_)
        | Item::ForeignMod(_)
        | Item::TraitAlias(_)
        | Item::Union(_)
        | Item::Verbatim(_)
        | _ => &[],
    }
}

/// Whether only tests, fuzzers or loom have what stands behind these attributes.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        let is_set = |word| condition.contains(word) && !condition.contains("not");
        list.path.is_ident("cfg") && (is_set("test") || is_set("fuzzing") || is_set("loom"))
    })
}
