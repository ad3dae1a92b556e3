//! The answers of one sale, in the form in which they leave.

use std::cell::RefCell;
use std::rc::Rc;

use host::EncodedPairs;
use sale::answers::{retry_after_s, Answer, Refusal, REFUSALS};
use sale::config::Sale;

/// A sale with its answers made ready.
pub(crate) struct Desk {
    pub(crate) sale: Rc<Sale>,
    answers: Vec<Prepared>,
    /// Its row in the table of counts.
    pub(crate) row: usize,
}

struct Prepared {
    plain: Rc<EncodedPairs>,
    /// The last one that had a Retry-After: most users of one second get the same.
    timed: RefCell<Option<(u64, Rc<EncodedPairs>)>>,
}

impl Desk {
    pub(crate) fn new(sale: Rc<Sale>, row: usize) -> Self {
        let prepare = |refusal| {
            let plain = Rc::new(EncodedPairs::new(&sale.answer(refusal).headers));
            Prepared { plain, timed: RefCell::default() }
        };
        let answers = REFUSALS.into_iter().map(prepare).collect();
        Self { sale, answers, row }
    }

    /// The headers of an answer, with the moment of return where it is known and wanted.
    pub(crate) fn headers(&self, why: Refusal, retry_ms: Option<u64>) -> Rc<EncodedPairs> {
        let answer = self.sale.answer(why);
        let Some(prepared) = self.answers.get(why as usize) else { return Rc::default() };
        match retry_ms.filter(|_| answer.retry_after) {
            None => Rc::clone(&prepared.plain),
            Some(wait_ms) => prepared.with_retry_after(answer, retry_after_s(wait_ms)),
        }
    }
}

impl Prepared {
    fn with_retry_after(&self, answer: &Answer, seconds: u64) -> Rc<EncodedPairs> {
        let mut last = self.timed.borrow_mut();
        if let Some((_, headers)) = last.as_ref().filter(|(known, _)| *known == seconds) {
            return Rc::clone(headers);
        }
        let seconds_text = seconds.to_string();
        let mut pairs: Vec<(&str, &str)> =
            answer.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        pairs.push(("retry-after", &seconds_text));
        let headers = Rc::new(EncodedPairs::new(&pairs));
        *last = Some((seconds, Rc::clone(&headers)));
        headers
    }
}
