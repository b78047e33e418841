//! Reads the modules of a crate from its sources: the names that each has, and the paths that each uses.
//!
//! What is compiled only for tests does not count.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ImplItem, Item, ItemMod, ItemUse, Meta, Token, UseTree};

/// The names of a path, `crate`, `self` and `super` included.
pub type Names = Vec<String>;

/// What a name of a module stands for.
pub enum Meaning {
    /// An item that the module's file defines.
    Item,
    /// A module inside this one.
    Module,
    /// What this path names.
    Import(Names),
}

/// A module of a crate.
pub struct Module {
    /// The file that its items stand in.
    pub file: PathBuf,
    /// Its names. One name can be a module, a type and a function at once.
    pub names: BTreeMap<String, Vec<Meaning>>,
    /// The modules and enumerations of which it takes every name.
    pub globs: Vec<Names>,
    /// Every path in its sources.
    pub paths: Vec<Names>,
}

/// The modules of a crate by their path from its root.
pub type Modules = BTreeMap<Names, Module>;

/// Reads the modules of the crate whose first file is `root`.
pub fn modules(root: &Path) -> Modules {
    let mut modules = Modules::new();
    read(root, Names::new(), root.parent().unwrap(), &mut modules);
    modules
}

/// Reads the file of one module, and of those inside it, whose files are in `folder`.
fn read(file: &Path, module: Names, folder: &Path, modules: &mut Modules) {
    let source = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let source = syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut reader = Reader { file, module, folder: folder.to_owned(), modules };
    reader.enter();
    reader.visit_file(&source);
}

struct Reader<'a> {
    file: &'a Path,
    module: Names,
    /// Where the files of the modules inside the present one are.
    folder: PathBuf,
    modules: &'a mut Modules,
}

impl Reader<'_> {
    fn enter(&mut self) {
        let module =
            Module { file: self.file.to_owned(), names: BTreeMap::new(), globs: Vec::new(), paths: Vec::new() };
        self.modules.insert(self.module.clone(), module);
    }

    fn present(&mut self) -> &mut Module {
        self.modules.get_mut(&self.module).unwrap()
    }

    fn name(&mut self, name: &Ident, meaning: Meaning) {
        self.present().names.entry(name.unraw().to_string()).or_default().push(meaning);
    }

    /// Notes what a `use` brings in; `before` is the path up to this part of it.
    fn import(&mut self, before: &Names, tree: &UseTree) {
        let with = |name: &Ident| before.iter().cloned().chain([name.unraw().to_string()]).collect::<Names>();
        match tree {
            UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
            UseTree::Glob(_) => self.present().globs.push(before.clone()),
            UseTree::Name(name) if name.ident == "self" => {
                let last = Ident::new(before.last().unwrap(), name.ident.span());
                self.bring_in(&last, before.clone());
            }
            UseTree::Name(name) => self.bring_in(&name.ident, with(&name.ident)),
            UseTree::Rename(rename) => self.bring_in(&rename.rename, with(&rename.ident)),
        }
    }

    fn bring_in(&mut self, name: &Ident, path: Names) {
        self.present().paths.push(path.clone());
        self.name(name, Meaning::Import(path));
    }

    /// Notes whatever looks like a path in the arguments of a macro or of an attribute.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Names::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.note(&mut path);
                    }
                    path.push(name.unraw().to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.note(&mut path);
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.note(&mut path),
            }
        }
        self.note(&mut path);
    }

    fn note(&mut self, path: &mut Names) {
        if !path.is_empty() {
            let path = std::mem::take(path);
            self.present().paths.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if only_for_tests(attributes(item)) {
            return;
        }
        if let Some(name) = defined(item) {
            self.name(name, Meaning::Item);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !only_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.name(&item.ident, Meaning::Module);
        let name = item.ident.unraw().to_string();
        let inside: Names = self.module.iter().cloned().chain([name.clone()]).collect();
        let folder = self.folder.join(&name);
        let Some((_, items)) = &item.content else {
            let beside = self.folder.join(format!("{name}.rs"));
            let file = if beside.exists() { beside } else { folder.join("mod.rs") };
            return read(&file, inside, &folder, self.modules);
        };
        let module = std::mem::replace(&mut self.module, inside);
        let before = std::mem::replace(&mut self.folder, folder);
        self.enter();
        for item in items {
            self.visit_item(item);
        }
        self.module = module;
        self.folder = before;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // A path that begins with `::` names another crate.
        if item.leading_colon.is_none() {
            self.import(&Names::new(), &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let mut names = path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect();
            self.note(&mut names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => {
                self.tokens(list.tokens.clone());
                // `#[serde(with = "some::path")]` names what it uses in a text.
                for path in texts(list.tokens.clone()).iter().filter_map(|text| syn::parse_str(text).ok()) {
                    self.visit_path(&path);
                }
            }
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }
}

fn texts(tokens: TokenStream) -> Vec<String> {
    let text = |token: TokenTree| match token {
        TokenTree::Literal(literal) => {
            syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value())
        }
        _ => None,
    };
    tokens.into_iter().filter_map(text).collect()
}

/// Returns whether `#[cfg(test)]` stands at something.
fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let conditions = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap();
        conditions.iter().any(requires_test)
    })
}

fn requires_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => {
            let inside = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap();
            inside.iter().any(requires_test)
        }
        _ => false,
    }
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
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the name that an item, other than a module, defines.
fn defined(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}
