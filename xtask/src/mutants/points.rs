//! From a source to the same source with all of its mutants in it.
//!
//! Every mutant is a choice that the program makes as it runs (`crate::mutation`), so that all of them are compiled once. Each point of the
//! source has one or more: another operator, a number that is one off, a condition that always holds or never does, a check
//! that is left out.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use anyhow::{Context as _, Result};
use syn::{
    BinOp, Block, Expr, ExprBinary, ExprMethodCall, ImplItemFn, Item, ItemFn, Lit, Local, Pat,
    ReturnType, Signature, Stmt, Type, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::syntax::{
    error_of, has_let, is_cfg, is_integer, is_return, is_test, is_unordered, is_zero,
    returns_check, type_name,
};

/// Letters of the source in a mutant's name, the middle of what is longer left out.
const LONGEST: usize = 80;

/// One mutant.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// Its number in the build.
    pub number: u32,
    /// The number of the first mutant of its point, by which the point is recorded when a test comes to it.
    pub point: u32,
    /// File, function, and what becomes of what; no line, so that it stays as it is while the file changes elsewhere.
    pub name: String,
    /// The file, and the line.
    pub place: String,
    /// The error that the condition stands for, of a mutant that takes the condition away.
    pub error: Option<String>,
}

/// A point of the source, by its bytes and what kind of mutants it has.
pub(crate) type Point = (usize, usize, &'static str);

/// Points whose mutants do not compile: 1 = without those that few types have, 2 = without any.
pub(crate) type Left = HashMap<Point, u8>;

/// A source with its mutants.
pub(crate) struct Mutated {
    pub text: String,
    pub mutants: Vec<Mutant>,
    /// Places of the points in the new text.
    pub places: Vec<(Range<usize>, Point)>,
}

/// An insertion or replacement in the source.
struct Edit {
    range: Range<usize>,
    /// An end at a byte comes before a start there; a start comes before a replacement.
    order: u8,
    text: String,
    point: usize,
}

/// Puts mutants into a source; `file` is its name for people, `first` the number of the first mutant. `constants` are names of integers.
pub(crate) fn mutate(
    file: &str,
    source: &str,
    first: u32,
    constants: &Constants,
    left: &Left,
) -> Result<Mutated> {
    let tree = syn::parse_file(source).with_context(|| format!("cannot parse {file}"))?;
    let mut visitor = Visitor {
        file,
        source,
        constants,
        left,
        next: first,
        scope: Vec::new(),
        edits: Vec::new(),
        points: Vec::new(),
        mutants: Vec::new(),
        names: BTreeMap::new(),
        unit_matches: Vec::new(),
    };
    visitor.visit_file(&tree);
    Ok(visitor.finish())
}

/// Names of integer constants.
#[derive(Default)]
pub(crate) struct Constants {
    /// Those that are counted with.
    pub numbers: Vec<String>,
    /// Bits of a set.
    pub bits: Vec<String>,
}

/// Names of integer constants in a source.
pub(crate) fn constants(source: &str) -> Result<Vec<String>> {
    struct Names(Vec<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
            if is_integer(&item.ty) {
                self.0.push(item.ident.to_string());
            }
        }
    }
    let mut names = Names(Vec::new());
    names.visit_file(&syn::parse_file(source)?);
    Ok(names.0)
}

struct Visitor<'s> {
    file: &'s str,
    source: &'s str,
    constants: &'s Constants,
    left: &'s Left,
    next: u32,
    scope: Vec<String>,
    edits: Vec<Edit>,
    points: Vec<Point>,
    mutants: Vec<Mutant>,
    names: BTreeMap<String, u32>,
    /// Starts of matches that are statements.
    unit_matches: Vec<usize>,
}

impl Visitor<'_> {
    fn finish(mut self) -> Mutated {
        // Equal keys stay in the order in which they came: openings from the outside in, ends from the inside out.
        self.edits
            .sort_by_key(|edit| (edit.range.start, edit.order));
        let mut text = String::with_capacity(2 * self.source.len());
        let mut places: Vec<Option<Range<usize>>> = vec![None; self.points.len()];
        let mut at = 0;
        for edit in &self.edits {
            text.push_str(self.source.get(at..edit.range.start).unwrap_or_default());
            let start = text.len();
            text.push_str(&edit.text);
            let place = places[edit.point].get_or_insert(start..start);
            place.end = text.len();
            at = edit.range.end.max(at);
        }
        text.push_str(self.source.get(at..).unwrap_or_default());
        Mutated {
            text,
            mutants: self.mutants,
            places: places.into_iter().flatten().zip(self.points).collect(),
        }
    }

    fn text(&self, range: Range<usize>) -> String {
        let text = self.source.get(range).unwrap_or_default();
        let lines = text.lines().map(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.trim()
        });
        let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>();
        let letters: Vec<char> = text.join(" ").chars().collect();
        match letters.as_slice() {
            [first @ .., _] if first.len() >= LONGEST => {
                let (start, end) = (
                    &letters[..LONGEST / 2],
                    &letters[letters.len() - LONGEST / 2..],
                );
                let part = |letters: &[char]| letters.iter().collect::<String>();
                format!("{} ... {}", part(start).trim(), part(end).trim())
            }
            _ => letters.into_iter().collect(),
        }
    }

    /// A point with these mutants, each of which is said as `original` and what becomes of it; `None` if it is left out. `optional` of them, the
    /// last ones, may be left out alone. Returns the point, the number of its first mutant and how many it has.
    fn point(
        &mut self,
        node: Range<usize>,
        kind: &'static str,
        mutants: &[(String, String)],
        optional: usize,
    ) -> Option<(usize, u32, usize)> {
        let point = (node.start, node.end, kind);
        let count = match self.left.get(&point) {
            None => mutants.len(),
            Some(1) => mutants.len() - optional,
            Some(_) => 0,
        };
        if count == 0 {
            return None;
        }
        let line = self.source.get(..node.start).unwrap_or_default();
        let line = line.matches('\n').count() + 1;
        let first = self.next;
        for (original, mutant) in mutants.iter().take(count) {
            let scope = self.scope.join("::");
            let mut name = format!("{} {scope}: `{original}` -> `{mutant}`", self.file);
            let times = self.names.entry(name.clone()).or_default();
            *times += 1;
            if *times > 1 {
                name = format!("{name} #{times}");
            }
            self.mutants.push(Mutant {
                number: self.next,
                point: first,
                name,
                place: format!("{}:{line}", self.file),
                error: None,
            });
            self.next += 1;
        }
        self.points.push(point);
        Some((self.points.len() - 1, first, count))
    }

    fn edit(&mut self, point: usize, order: u8, range: Range<usize>, text: String) {
        self.edits.push(Edit {
            range,
            order,
            text,
            point,
        });
    }

    fn open(&mut self, point: usize, at: usize, text: impl Into<String>) {
        self.edit(point, 1, at..at, text.into());
    }

    fn close(&mut self, point: usize, at: usize, text: impl Into<String>) {
        self.edit(point, 0, at..at, text.into());
    }

    fn replace(&mut self, point: usize, range: Range<usize>, text: impl Into<String>) {
        self.edit(point, 2, range, text.into());
    }

    /// A condition that always holds, or never does.
    fn condition(&mut self, expr: &Expr, error: Option<String>) {
        if is_cfg(expr) {
            return self.visit_expr(expr);
        }
        let range = expr.span().byte_range();
        let text = self.text(range.clone());
        let mutants = ["false", "true"].map(|mutant| (text.clone(), mutant.to_owned()));
        let Some((point, first, _)) = self.point(range.clone(), "condition", &mutants, 0) else {
            return self.visit_expr(expr);
        };
        if let Some(mutant) = self.mutants.iter_mut().rev().nth(1) {
            mutant.error = error;
        }
        self.switched(point, first, range, &["false", "true"], |visitor| {
            visitor.visit_inside(expr);
        });
    }

    /// Puts values in the place of an expression, one for each mutant.
    fn switched(
        &mut self,
        point: usize,
        first: u32,
        range: Range<usize>,
        values: &[&str],
        visit: impl FnOnce(&mut Self),
    ) {
        let count = values.len();
        let arms: String = (1..)
            .zip(values)
            .map(|(at, value)| format!("{at} => {value}, "))
            .collect();
        // Asked first, so that whoever comes here is recorded.
        let open = format!("(match crate::mutation::choose({first}, {count}) {{ {arms}_ => ");
        self.open(point, range.start, open);
        visit(self);
        self.close(point, range.end, " })");
    }

    /// Parts of a condition that has been wrapped as a whole.
    fn visit_inside(&mut self, expr: &Expr) {
        match expr {
            Expr::MethodCall(call) => visit::visit_expr_method_call(self, call),
            _ => self.visit_expr(expr),
        }
    }

    /// The condition of an `if`, which may bind names.
    fn if_condition(&mut self, expr: &Expr, error: Option<String>) {
        if !has_let(expr) {
            return self.condition(expr, error);
        }
        if let Expr::Let(_) = expr {
            let range = expr.span().byte_range();
            let mutants = [(self.text(range.clone()), "never".to_owned())];
            if let Some((point, first, _)) = self.point(range.clone(), "let", &mutants, 0) {
                if let Some(mutant) = self.mutants.last_mut() {
                    mutant.error = error;
                }
                self.visit_expr(expr);
                let text = format!(" && !crate::mutation::on({first})");
                return self.close(point, range.end, text);
            }
        }
        self.visit_expr(expr);
    }

    /// An operand of `&&` or `||` that has no say.
    fn operand(&mut self, expr: &Expr, and: bool) {
        let same = matches!(
            (expr, and),
            (
                Expr::Binary(ExprBinary {
                    op: BinOp::And(_),
                    ..
                }),
                true
            ) | (
                Expr::Binary(ExprBinary {
                    op: BinOp::Or(_),
                    ..
                }),
                false
            )
        );
        if same || is_cfg(expr) || has_let(expr) {
            return self.visit_expr(expr);
        }
        let range = expr.span().byte_range();
        let neutral = if and { "true" } else { "false" };
        let mutants = [(self.text(range.clone()), neutral.to_owned())];
        let Some((point, first, _)) = self.point(range.clone(), "operand", &mutants, 0) else {
            return self.visit_expr(expr);
        };
        self.switched(point, first, range, &[neutral], |visitor| {
            visitor.visit_inside(expr);
        });
    }

    fn binary(&mut self, binary: &ExprBinary) {
        let range = binary.span().byte_range();
        let operator = self.text(binary.op.span().byte_range());
        let (others, by_reference, optional): (&[&str], bool, usize) = match binary.op {
            BinOp::And(_) | BinOp::Or(_) => {
                let and = matches!(binary.op, BinOp::And(_));
                self.operand(&binary.left, and);
                self.operand(&binary.right, and);
                return;
            }
            BinOp::Lt(_) => (&["<=", "!="], true, 0),
            BinOp::Gt(_) if is_zero(&binary.right) => (&[">="], true, 0),
            BinOp::Gt(_) => (&[">=", "!="], true, 0),
            BinOp::Le(_) => (&["<", "=="], true, 0),
            BinOp::Ge(_) => (&[">", "=="], true, 0),
            // Most numbers here have no sign: what is one with another operator is left out.
            BinOp::Eq(_) if is_zero(&binary.right) => (&["!=", ">="], true, 1),
            BinOp::Ne(_) if is_zero(&binary.right) => (&["==", "<"], true, 1),
            BinOp::Eq(_) if is_unordered(&binary.right) => (&["!="], true, 0),
            BinOp::Ne(_) if is_unordered(&binary.right) => (&["=="], true, 0),
            BinOp::Eq(_) => (&["!=", "<=", ">="], true, 2),
            BinOp::Ne(_) => (&["==", "<", ">"], true, 2),
            BinOp::Add(_) => (&["-"], false, 0),
            BinOp::Sub(_) => (&["+"], false, 0),
            BinOp::Mul(_) => (&["+"], false, 0),
            BinOp::Div(_) | BinOp::Rem(_) => (&["*"], false, 0),
            BinOp::Shl(_) => (&[">>"], false, 0),
            BinOp::Shr(_) => (&["<<"], false, 0),
            BinOp::BitAnd(_) => (&["|"], false, 0),
            BinOp::BitOr(_) => (&["&"], false, 0),
            BinOp::BitXor(_) => (&["|"], false, 0),
            _ => return self.assign_operator(binary),
        };
        let original = self.text(range.clone());
        let mutants: Vec<_> = others
            .iter()
            .map(|other| (original.clone(), (*other).to_owned()))
            .collect();
        let Some((point, first, count)) = self.point(range.clone(), "operator", &mutants, optional)
        else {
            return visit::visit_expr_binary(self, binary);
        };
        let reference = if by_reference { "&" } else { "" };
        self.open(point, range.start, format!("(match ({reference}("));
        self.visit_expr(&binary.left);
        let between = binary.left.span().byte_range().end..binary.right.span().byte_range().start;
        // Ends at the left operand's last byte have to come before.
        self.edit(point, 2, between, format!("), {reference}("));
        self.visit_expr(&binary.right);
        let arms: String = (1..)
            .zip(others.iter().take(count))
            .map(|(at, other)| format!("{at} => l {other} r, "))
            .collect();
        self.close(
            point,
            range.end,
            format!(
                ")) {{ (l, r) => match crate::mutation::choose({first}, {count}) {{ {arms}_ => l {operator} r }} }})"
            ),
        );
    }

    /// `+=` and its like, which are statements.
    fn assign_operator(&mut self, binary: &ExprBinary) {
        let range = binary.span().byte_range();
        let operator = self.text(binary.op.span().byte_range());
        let other = match operator.as_str() {
            "+=" => "-=",
            "-=" | "*=" => "+=",
            "|=" => "&=",
            "&=" | "^=" => "|=",
            "<<=" => ">>=",
            ">>=" => "<<=",
            _ => return visit::visit_expr_binary(self, binary),
        };
        let original = self.text(range.clone());
        let mutants = [(original, other.to_owned())];
        let left = binary.left.span().byte_range();
        let left = self.source.get(left).unwrap_or_default().to_owned();
        let Some((point, first, _)) = self.point(range.clone(), "assignment", &mutants, 0) else {
            return visit::visit_expr_binary(self, binary);
        };
        self.open(point, range.start, "match (");
        let start = binary.left.span().byte_range().start..binary.right.span().byte_range().start;
        self.replace(point, start, "");
        self.visit_expr(&binary.right);
        self.close(
            point,
            range.end,
            format!(
                ") {{ r => if crate::mutation::on({first}) {{ {left} {other} r }} else {{ {left} {operator} r }} }}"
            ),
        );
    }

    /// A number and its neighbours.
    fn number(&mut self, range: Range<usize>, neighbours: &[String]) {
        let text = self.text(range.clone());
        let mutants: Vec<_> = neighbours
            .iter()
            .map(|other| (text.clone(), other.clone()))
            .collect();
        let Some((point, first, _)) = self.point(range.clone(), "number", &mutants, 0) else {
            return;
        };
        let values: Vec<&str> = neighbours.iter().map(String::as_str).collect();
        self.switched(point, first, range, &values, |_| {});
    }

    fn method(&mut self, call: &ExprMethodCall) {
        const SWAPS: [(&str, &str); 2] = [("min", "max"), ("max", "min")];
        const BOOLEAN: [&str; 11] = [
            "any",
            "all",
            "contains",
            "is_multiple_of",
            "is_some",
            "is_none",
            "is_empty",
            "is_some_and",
            "is_none_or",
            "starts_with",
            "is_paired",
        ];
        let range = call.span().byte_range();
        let name = call.method.to_string();
        let text = self.text(range.clone());
        if BOOLEAN.contains(&name.as_str()) {
            let mutants = ["false", "true"].map(|mutant| (text.clone(), mutant.to_owned()));
            if let Some((point, first, _)) = self.point(range.clone(), "boolean", &mutants, 0) {
                return self.switched(point, first, range, &["false", "true"], |visitor| {
                    visit::visit_expr_method_call(visitor, call);
                });
            }
        }
        let swapped = SWAPS.iter().find(|(from, _)| *from == name);
        let (template, mutant) = match (swapped, name.as_str(), call.args.len()) {
            (Some((from, to)), _, 1) => (
                format!("(l, r) => if SWITCH {{ l.{to}(r) }} else {{ l.{from}(r) }}"),
                (*to).to_owned(),
            ),
            (Some((from, to)), _, 0) => (
                format!("(l, ()) => if SWITCH {{ l.{to}() }} else {{ l.{from}() }}"),
                (*to).to_owned(),
            ),
            (None, "saturating_sub", 1) => (
                "(l, r) => if SWITCH { l.wrapping_sub(r) } else { l.saturating_sub(r) }".to_owned(),
                "wrapping_sub".to_owned(),
            ),
            (None, "div_ceil", 1) => (
                "(l, r) => if SWITCH { l / r } else { l.div_ceil(r) }".to_owned(),
                "/".to_owned(),
            ),
            _ => return visit::visit_expr_method_call(self, call),
        };
        let mutants = [(text, mutant)];
        let Some((point, first, _)) = self.point(range.clone(), "method", &mutants, 0) else {
            return visit::visit_expr_method_call(self, call);
        };
        self.open(point, range.start, "(match ((");
        self.visit_expr(&call.receiver);
        let end = call.receiver.span().byte_range().end;
        let switch = format!("crate::mutation::on({first})");
        let arm = template.replace("SWITCH", &switch);
        match call.args.first() {
            Some(argument) => {
                let place = argument.span().byte_range();
                self.replace(point, end..place.start, "), (");
                self.visit_expr(argument);
                self.replace(point, place.end..range.end, format!(")) {{ {arm} }})"));
            }
            None => self.replace(point, end..range.end, format!("), ()) {{ {arm} }})")),
        }
    }

    /// A statement that is left out.
    fn left_out(&mut self, expr: &Expr, range: Range<usize>) {
        let mutants = [(self.text(range.clone()), "nothing".to_owned())];
        let Some((point, first, _)) = self.point(range.clone(), "statement", &mutants, 0) else {
            return self.visit_expr(expr);
        };
        self.open(
            point,
            range.start,
            format!("if !crate::mutation::on({first}) {{ "),
        );
        self.visit_expr(expr);
        self.close(point, range.end, " }");
    }

    /// A call whose error goes unseen.
    fn skipped(&mut self, expr: &Expr) {
        let range = expr.span().byte_range();
        let mutants = [(self.text(range.clone()), "no check".to_owned())];
        let Some((point, first, _)) = self.point(range.clone(), "check", &mutants, 0) else {
            return self.visit_expr(expr);
        };
        self.open(point, range.start, "crate::mutation::Skip::skip(");
        self.visit_expr(expr);
        self.close(point, range.end, format!(", {first})"));
    }

    /// The value of a function that returns `Result<(), _>`.
    fn tail(&mut self, expr: &Expr) {
        match expr {
            Expr::Call(call) if self.text(call.span().byte_range()) == "Ok(())" => {}
            Expr::Call(_) | Expr::MethodCall(_) => self.skipped(expr),
            Expr::Match(all) => self.arms(all, true),
            Expr::If(branch) => {
                self.if_condition(&branch.cond, error_of(&branch.then_branch));
                self.body(&branch.then_branch, true);
                if let Some((_, other)) = &branch.else_branch {
                    self.tail(other);
                }
            }
            Expr::Block(block) => self.body(&block.block, true),
            _ => self.visit_expr(expr),
        }
    }

    fn body(&mut self, block: &Block, check: bool) {
        let Some((last, first)) = block.stmts.split_last() else {
            return;
        };
        for statement in first {
            self.visit_stmt(statement);
        }
        match last {
            Stmt::Expr(expr, None) if check => self.tail(expr),
            _ => self.visit_stmt(last),
        }
    }

    fn arms(&mut self, all: &syn::ExprMatch, check: bool) {
        self.visit_expr(&all.expr);
        let statement = self.unit_matches.contains(&all.span().byte_range().start);
        let scrutinee = match &*all.expr {
            Expr::Path(path) => {
                let name = self.source.get(path.span().byte_range());
                name.map(str::to_owned)
            }
            _ => None,
        };
        let rest = all.arms.iter().rposition(|arm| {
            let any = match &arm.pat {
                Pat::Wild(_) => true,
                // Other than the name of a variant.
                Pat::Ident(name) => {
                    let name = name.ident.to_string();
                    name.starts_with(|letter: char| letter.is_lowercase())
                }
                _ => false,
            };
            any && arm.guard.is_none()
        });
        for (at, arm) in all.arms.iter().enumerate() {
            let range = arm.pat.span().byte_range();
            match &arm.guard {
                Some((_, guard)) => self.condition(guard, None),
                None if rest.is_some_and(|rest| at < rest) => {
                    self.left_arm(&arm.pat, scrutinee.as_deref());
                }
                None => {}
            }
            if statement && is_return(&arm.body) {
                let mutants = [(self.text(range.clone()), "no return".to_owned())];
                let body = arm.body.span().byte_range();
                if let Some((point, first, _)) = self.point(body.clone(), "return", &mutants, 0) {
                    self.open(
                        point,
                        body.start,
                        format!("if !crate::mutation::on({first}) {{ "),
                    );
                    self.visit_expr(&arm.body);
                    self.close(point, body.end, " }");
                    continue;
                }
            }
            if check {
                self.tail(&arm.body);
            } else {
                self.visit_expr(&arm.body);
            }
        }
    }

    /// An arm that goes to the arm for all others, and each of its patterns.
    fn left_arm(&mut self, pattern: &Pat, scrutinee: Option<&str>) {
        let range = pattern.span().byte_range();
        let cases: Vec<Range<usize>> = match (pattern, scrutinee) {
            (Pat::Or(or), Some(_)) => or.cases.iter().map(|c| c.span().byte_range()).collect(),
            _ => vec![range.clone()],
        };
        let whole =
            |case: &Range<usize>| self.source.get(case.clone()).unwrap_or_default().to_owned();
        let names: Vec<String> = cases.iter().map(whole).collect();
        let mutants: Vec<_> = cases
            .iter()
            .map(|case| (self.text(case.clone()), "the arm of all others".to_owned()))
            .collect();
        let Some((point, first, _)) = self.point(range.clone(), "arm", &mutants, 0) else {
            return;
        };
        let guards: Vec<String> = (first..)
            .zip(&names)
            .map(|(number, name)| match scrutinee {
                Some(scrutinee) if names.len() > 1 => {
                    format!("!(crate::mutation::on({number}) && matches!({scrutinee}, {name}))")
                }
                _ => format!("!crate::mutation::on({number})"),
            })
            .collect();
        self.close(point, range.end, format!(" if {}", guards.join(" && ")));
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        // Its value has to be known when the crate is compiled.
        if signature.constness.is_some() {
            return;
        }
        self.scope.push(signature.ident.to_string());
        let check = returns_check(&signature.output);
        let values: &[&str] = match &signature.output {
            _ if check => &["Ok(())"],
            ReturnType::Type(_, ty) if is_integer(ty) => &["0", "1"],
            ReturnType::Type(_, ty) => match type_name(ty).as_deref() {
                Some("bool") => &["false", "true"],
                Some("Option") => &["None"],
                _ => &[],
            },
            ReturnType::Default => &[],
        };
        let start = block.span().byte_range().start + 1;
        let mutants: Vec<_> = values
            .iter()
            .map(|value| ("body".to_owned(), (*value).to_owned()))
            .collect();
        if let Some((point, first, count)) = self.point(start..start, "body", &mutants, 0) {
            let arms: String = (1..)
                .zip(values)
                .map(|(at, value)| format!("{at} => return {value}, "))
                .collect();
            self.open(
                point,
                start,
                format!(" match crate::mutation::choose({first}, {count}) {{ {arms}_ => {{}} }} "),
            );
        }
        self.body(block, check);
        self.scope.pop();
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Fn(item) if is_test(&item.attrs) => {}
            Item::Mod(item) if is_test(&item.attrs) => {}
            Item::Mod(item) => {
                self.scope.push(item.ident.to_string());
                visit::visit_item_mod(self, item);
                self.scope.pop();
            }
            Item::Impl(item) => {
                // Messages are for people.
                let of_trait = item.trait_.as_ref();
                let of_trait = of_trait.and_then(|(_, path, _)| path.segments.last());
                if of_trait.is_some_and(|name| name.ident == "Display") {
                    return;
                }
                self.scope
                    .push(type_name(&item.self_ty).unwrap_or_default());
                visit::visit_item_impl(self, item);
                self.scope.pop();
            }
            Item::Fn(_) => visit::visit_item(self, item),
            _ => {}
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        if let syn::ImplItem::Fn(item) = item {
            self.visit_impl_item_fn(item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_pat(&mut self, _: &'ast Pat) {}

    fn visit_type(&mut self, _: &'ast Type) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    fn visit_local(&mut self, local: &'ast Local) {
        if let Some(init) = &local.init {
            self.visit_expr(&init.expr);
            if let Some((_, other)) = &init.diverge {
                self.visit_expr(other);
            }
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let Stmt::Expr(expr, end) = statement else {
            if let Stmt::Local(local) = statement {
                self.visit_local(local);
            }
            return;
        };
        if let Expr::Match(all) = expr {
            self.unit_matches.push(all.span().byte_range().start);
        }
        match (expr, end) {
            (Expr::Try(attempt), Some(_)) => self.skipped(&attempt.expr),
            (Expr::Call(_) | Expr::MethodCall(_) | Expr::Assign(_), Some(_)) => {
                self.left_out(expr, statement.span().byte_range());
            }
            _ => self.visit_expr(expr),
        }
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Binary(binary) => self.binary(binary),
            Expr::If(branch) => {
                self.if_condition(&branch.cond, error_of(&branch.then_branch));
                self.visit_block(&branch.then_branch);
                if let Some((_, other)) = &branch.else_branch {
                    self.visit_expr(other);
                }
            }
            Expr::Match(all) => self.arms(all, false),
            Expr::MethodCall(call) => self.method(call),
            Expr::Unary(unary) => {
                let range = unary.span().byte_range();
                match (&unary.op, &*unary.expr) {
                    (UnOp::Neg(_), Expr::Lit(_)) => {
                        let text = self.text(range.clone());
                        self.number(range, &[format!("{text} + 1")]);
                    }
                    (UnOp::Not(_) | UnOp::Neg(_), inner) if !is_cfg(inner) => {
                        let operator = self.text(unary.op.span().byte_range());
                        let mutants = [(self.text(range.clone()), format!("no {operator}"))];
                        let Some((point, first, _)) =
                            self.point(range.clone(), "unary", &mutants, 0)
                        else {
                            return visit::visit_expr_unary(self, unary);
                        };
                        self.replace(point, unary.op.span().byte_range(), "(match (");
                        self.visit_expr(inner);
                        self.close(
                            point,
                            range.end,
                            format!(
                                ") {{ v => if crate::mutation::on({first}) {{ v }} else {{ {operator}v }} }})"
                            ),
                        );
                    }
                    _ => visit::visit_expr_unary(self, unary),
                }
            }
            Expr::Lit(literal) => {
                let range = literal.span().byte_range();
                match &literal.lit {
                    Lit::Int(number) => {
                        let text = self.text(range.clone());
                        let mut neighbours = vec![format!("{text} + 1")];
                        if number.base10_parse::<u64>().is_ok_and(|value| value > 0) {
                            neighbours.push(format!("{text} - 1"));
                        }
                        self.number(range, &neighbours);
                    }
                    Lit::Bool(value) => self.number(range, &[(!value.value).to_string()]),
                    _ => {}
                }
            }
            Expr::Path(path) => {
                let words: Vec<String> = path
                    .path
                    .segments
                    .iter()
                    .map(|word| word.ident.to_string())
                    .collect();
                let range = path.span().byte_range();
                let text = self.text(range.clone());
                let integer =
                    |ty: &String| syn::parse_str::<Type>(ty).is_ok_and(|ty| is_integer(&ty));
                match words.as_slice() {
                    [ty, limit] if integer(ty) && limit == "MIN" => {
                        self.number(range, &[format!("{text} + 1")]);
                    }
                    [ty, limit] if integer(ty) && limit == "MAX" => {
                        self.number(range, &[format!("{text} - 1")]);
                    }
                    [.., last] if self.constants.bits.contains(last) => {
                        self.number(range, &["0".to_owned()]);
                    }
                    [.., last] if self.constants.numbers.contains(last) => {
                        self.number(
                            range,
                            &[
                                format!("{text}.wrapping_add(1)"),
                                format!("{text}.wrapping_sub(1)"),
                            ],
                        );
                    }
                    _ => {}
                }
            }
            _ => visit::visit_expr(self, expr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of a source's mutants, without the file.
    fn names(source: &str) -> Vec<String> {
        let numbers = constants(source).expect("a source");
        let constants = Constants {
            numbers,
            bits: Vec::new(),
        };
        let mutated = mutate("f", source, 1, &constants, &Left::default()).expect("a source");
        // What comes out is a source again.
        syn::parse_file(&mutated.text).expect("mutants are Rust");
        let mutants = mutated.mutants.iter();
        mutants
            .map(|mutant| mutant.name.trim_start_matches("f ").to_owned())
            .collect()
    }

    #[test]
    fn a_check_is_left_out_and_its_limit_moved() {
        let source = "const MOST: u32 = 7;\nfn check(a: u32) -> Result<(), E> { if a > MOST { return Err(LoadError::Most); } Ok(()) }";
        assert_eq!(
            names(source),
            [
                "check: `body` -> `Ok(())`",
                "check: `a > MOST` -> `false`",
                "check: `a > MOST` -> `true`",
                "check: `a > MOST` -> `>=`",
                "check: `a > MOST` -> `!=`",
                "check: `MOST` -> `MOST.wrapping_add(1)`",
                "check: `MOST` -> `MOST.wrapping_sub(1)`",
            ]
        );
        let constants = Constants {
            numbers: vec!["MOST".to_owned()],
            bits: Vec::new(),
        };
        let mutated = mutate("f", source, 1, &constants, &Left::default()).expect("a source");
        let errors = mutated.mutants.iter().map(|mutant| mutant.error.as_deref());
        let errors: Vec<_> = errors.flatten().collect();
        assert_eq!(errors, ["Most"]);
        assert_eq!(mutated.mutants[1].place, "f:2");
    }

    #[test]
    fn calls_whose_error_is_passed_on_are_left_out() {
        let source = "impl A { fn check(&self) -> Result<(), E> { self.one()?; match self.x { X::A => self.two(), _ => Ok(()) } } }";
        assert_eq!(
            names(source),
            [
                "A::check: `body` -> `Ok(())`",
                "A::check: `self.one()` -> `no check`",
                "A::check: `X::A` -> `the arm of all others`",
                "A::check: `self.two()` -> `no check`",
            ]
        );
    }

    #[test]
    fn operands_have_no_say_and_patterns_are_left_out() {
        let source = "fn f(x: X) -> bool { match x { X::A | X::B => a && !b || c, _ => y } }";
        assert_eq!(
            names(source),
            [
                "f: `body` -> `false`",
                "f: `body` -> `true`",
                "f: `X::A` -> `the arm of all others`",
                "f: `X::B` -> `the arm of all others`",
                "f: `a && !b` -> `false`",
                "f: `a` -> `true`",
                "f: `!b` -> `true`",
                "f: `!b` -> `no !`",
                "f: `c` -> `false`",
            ]
        );
    }

    #[test]
    fn tests_messages_and_what_the_build_decides_have_none() {
        let none = [
            "const X: u32 = 1 + 2;",
            "const fn f() -> u32 { 1 + 2 }",
            "#[cfg(test)]\nmod tests { fn f() -> bool { true } }",
            "#[test]\nfn f() { g(1); }",
            "impl fmt::Display for X { fn fmt(&self) -> fmt::Result { f.write_str(1) } }",
            "fn f() -> X { if cfg!(x) { a } else { b } }",
            "fn f() -> X { matches!(a, 1) }",
        ];
        for source in none {
            assert_eq!(names(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn a_point_that_does_not_compile_is_left_out_in_two_steps() {
        let source = "fn f() -> X { a == b }";
        let count = |left: &Left| {
            let mutated = mutate("f", source, 1, &Constants::default(), left).expect("a source");
            mutated.mutants.len()
        };
        assert_eq!(count(&Left::default()), 3);
        let point =
            mutate("f", source, 1, &Constants::default(), &Left::default()).expect("a source");
        let point = point.places[0].1;
        assert_eq!(count(&Left::from([(point, 1)])), 1);
        assert_eq!(count(&Left::from([(point, 2)])), 0);
    }

    #[test]
    fn the_same_change_twice_in_a_function_has_two_names() {
        let source = "fn f() -> X { g(1); g(1) }";
        assert_eq!(
            names(source),
            [
                "f: `g(1);` -> `nothing`",
                "f: `1` -> `1 + 1`",
                "f: `1` -> `1 - 1`",
                "f: `1` -> `1 + 1` #2",
                "f: `1` -> `1 - 1` #2",
            ]
        );
    }
}
