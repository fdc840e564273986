/** Certificates for tests, as the demo makes them. */
export {
	type CertificateOptions,
	makeCertificate,
	makeRevocationList,
	type SignatureKind,
	type TestCertificate,
} from '../../src/cli/demo/certificates.ts';
