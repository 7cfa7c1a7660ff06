//! Kinds of Rust's syntax, as far as mutants depend on them.

use syn::{Block, Expr, Lit, ReturnType, Stmt, Type, visit::Visit};

pub(super) fn is_integer(ty: &Type) -> bool {
    const INTEGERS: [&str; 8] = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32"];
    type_name(ty).is_some_and(|name| INTEGERS.contains(&name.as_str()))
}

/// The last word of a type's path.
pub(super) fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}

/// Whether a function returns `Result<(), _>`.
pub(super) fn returns_check(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else {
        return false;
    };
    let Type::Path(path) = &**ty else {
        return false;
    };
    let Some(last) = path.path.segments.last() else {
        return false;
    };
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return false;
    };
    let unit = matches!(
        arguments.args.first(),
        Some(syn::GenericArgument::Type(Type::Tuple(tuple))) if tuple.elems.is_empty()
    );
    last.ident == "Result" && unit
}

/// The variant of `LoadError` that a branch returns.
pub(super) fn error_of(block: &Block) -> Option<String> {
    struct Find(Option<String>);
    impl<'ast> Visit<'ast> for Find {
        fn visit_path(&mut self, path: &'ast syn::Path) {
            let mut words = path.segments.iter().rev().map(|word| &word.ident);
            if let (Some(last), Some(before)) = (words.next(), words.next())
                && before == "LoadError"
            {
                self.0.get_or_insert(last.to_string());
            }
        }
    }
    let mut find = Find(None);
    find.visit_block(block);
    find.0
}

/// Whether something is for tests only.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().contains("test")
        }
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::NameValue(_) => false,
    })
}

/// Whether a condition is the build's and not the program's.
pub(super) fn is_cfg(expr: &Expr) -> bool {
    match expr {
        Expr::Macro(call) => call.mac.path.is_ident("cfg"),
        Expr::Unary(unary) => is_cfg(&unary.expr),
        Expr::Paren(paren) => is_cfg(&paren.expr),
        _ => false,
    }
}

/// Whether a condition binds names.
pub(super) fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Whether nothing is below or above this, or it says nothing: `Some(0)`, `[1, 1]`, `-8`, `i8::MIN`.
pub(super) fn is_unordered(expr: &Expr) -> bool {
    match expr {
        Expr::Call(_) | Expr::Array(_) | Expr::Unary(_) => true,
        Expr::Path(path) => {
            let last = path.path.segments.last();
            last.is_some_and(|last| last.ident == "MIN" || last.ident == "MAX")
        }
        _ => false,
    }
}

pub(super) fn is_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Lit(literal) if matches!(&literal.lit, Lit::Int(number) if number.base10_digits() == "0"))
}

pub(super) fn is_return(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) => true,
        Expr::Block(block) => matches!(
            block.block.stmts.as_slice(),
            [Stmt::Expr(Expr::Return(_), _)]
        ),
        _ => false,
    }
}
