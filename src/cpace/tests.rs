use super::protocol::sid_output;
use super::strings::transcript_ir;
use super::*;

#[test]
fn without_a_session_identifier_the_exchange_makes_one() {
    for suite in Suite::ALL {
        let inputs = Inputs { prs: b"password", ci: b"", sid: b"" };
        let initiator = Initiator::start(suite, inputs, b"", &mut crate::system_rng()).unwrap();
        let ya = *initiator.share();
        let responder = Responder::new(suite, &mut crate::system_rng());
        let (waiting, yb, tb) = responder.respond(inputs, &ya, b"", b"").unwrap();
        let (initiator, ta) = initiator.finish(&yb, b"", &tb).unwrap();
        let responder = waiting.finish(&ta).unwrap();
        let expected = sid_output(&transcript_ir(&ya, b"", &yb, b""));
        assert_eq!(initiator.sid_output(), Some(&expected));
        assert_eq!(responder.sid_output(), Some(&expected));
    }
}

#[test]
fn ristretto255_scalars_have_252_bits() {
    struct Ones;
    impl rand_core::TryRng for Ones {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
            Ok(u32::MAX)
        }
        fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
            Ok(u64::MAX)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Self::Error> {
            out.fill(0xff);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Ones {}
    assert_eq!(Suite::Ristretto255Sha512.sample_scalar(&mut Ones)[31], 0x0f);
    assert_eq!(Suite::X25519Sha512.sample_scalar(&mut Ones)[31], 0xff);
}
