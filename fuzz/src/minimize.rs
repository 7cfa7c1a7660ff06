//! Smaller inputs that fail in the same way.

/// Removes and clears runs of bytes, from half of the input down to single bytes, while `fails` stays true; at most `attempts` times it is asked.
#[must_use]
pub fn minimize(input: &[u8], attempts: usize, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut smallest = input.to_vec();
    let mut left = attempts;
    loop {
        let before = smallest.clone();
        let mut run = smallest.len().div_ceil(2);
        while run > 0 {
            let mut at = 0;
            while at < smallest.len() {
                let end = (at + run).min(smallest.len());
                let mut shorter = smallest.clone();
                shorter.drain(at..end);
                let mut cleared = smallest.clone();
                cleared[at..end].fill(0);
                let mut taken = false;
                for candidate in [shorter, cleared] {
                    if candidate == smallest {
                        continue;
                    }
                    if left == 0 {
                        return smallest;
                    }
                    left -= 1;
                    if fails(&candidate) {
                        taken = candidate.len() < smallest.len();
                        smallest = candidate;
                        break;
                    }
                }
                if !taken {
                    at += run;
                }
            }
            run /= 2;
        }
        if smallest == before {
            return smallest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::minimize;

    #[test]
    fn only_what_matters_is_left() {
        let input: Vec<u8> = (0..=255).collect();
        let both = |bytes: &[u8]| bytes.contains(&17) && bytes.contains(&200);
        assert_eq!(minimize(&input, 10_000, both), [17, 200]);
        let long = |bytes: &[u8]| bytes.len() >= 9;
        assert_eq!(minimize(&input, 10_000, long), [0; 9]);
    }

    #[test]
    fn it_ends_when_it_may_not_ask_again() {
        let mut asked = 0;
        let input = [1; 1000];
        let found = minimize(&input, 50, |_| {
            asked += 1;
            false
        });
        assert_eq!((found.as_slice(), asked), (&input[..], 50));
    }
}
