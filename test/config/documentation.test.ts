/** The documentation is true in what can be told: configurations to be copied are taken, keys and metrics exist, links lead somewhere. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { configKeys } from '../../scripts/config-reference.ts';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { loadConfig } from '../../src/config/load.ts';
import { testKey } from '../audit/constants.ts';
import { makeCertificate } from '../support/certificates.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The indented block behind a heading, without its indentation. */
function blockBehind(text: string, heading: string): string {
	const [, behind = ''] = text.split(`${heading}\n\n`);
	const [block = ''] = behind.split(/\n(?=\S)/);
	return block.replaceAll(/^ {4}/gm, '');
}

const EXAMPLES: readonly { readonly name: string; readonly config: () => Promise<string> }[] = [
	{
		name: 'operating.md',
		config: async () =>
			blockBehind(await readFile(join(root, 'docs/operating.md'), 'utf8'), '## A configuration to begin with'),
	},
	{
		name: 'kubernetes/portcullis.yaml',
		config: async () => {
			const text = await readFile(join(root, 'docs/kubernetes/portcullis.yaml'), 'utf8');
			const all = parseAllDocuments(text).map((one) => one.toJS() as { kind: string; data?: Record<string, string> });
			expect(all.map(({ kind }) => kind)).toContain('StatefulSet');
			return all.find(({ kind }) => kind === 'ConfigMap')?.data?.['portcullis.yaml'] ?? '';
		},
	},
];

test.each(EXAMPLES)('the configuration of $name is taken', async ({ config }) => {
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
	onTestFinished(() => rm(folder, { recursive: true, force: true }));
	// What lies elsewhere on a real machine lies beside it here.
	const text = (await config()).replaceAll(/(?<=: )\/(?:etc|var\/lib)\/portcullis(?=[-/])/g, './portcullis');
	expect(text.length).toBeGreaterThan(500);
	const server = makeCertificate({ name: 'gateway.test', hosts: ['gateway.test'] });
	const verifier = formatVerifier(await makeVerifier('secret', { iterations: 4096 }));
	const contents: Record<string, string> = {
		...{ 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': server.cert },
		...{ 'app.verifier': verifier, 'audit.key': testKey },
	};
	for (const [path] of text.matchAll(/(?<=[ {](?:cert|key|ca|file): )\.\/[\w./-]+/g)) {
		const content = contents[path.split('/').at(-1) ?? ''];
		if (content === undefined) throw new Error(`${path} is unknown here`);
		await mkdir(dirname(join(folder, path)), { recursive: true });
		await writeFile(join(folder, path), content);
	}
	const policies = /^policies: (\S+)$/m.exec(text)?.[1] ?? '';
	await cp(join(root, 'policies'), join(folder, policies), { recursive: true });
	await writeFile(join(folder, 'portcullis.yaml'), text);
	const loaded = await loadConfig(join(folder, 'portcullis.yaml'), { SHOP_PASSWORD: 'secret' });
	expect(loaded.databases.map(({ name }) => name)).toEqual(['shop']);
});

const PAGES = [
	...['README.md', 'SECURITY.md', 'CHANGELOG.md', 'src/README.md'],
	...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
];

const pages = new Map(PAGES.map((page) => [page, readFileSync(join(root, page), 'utf8')]));

/** What a heading is linked by. */
function anchorsOf(text: string): Set<string> {
	const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => heading.trim().toLowerCase());
	return new Set(headings.map((heading) => heading.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-')));
}

/** Links of a page that lead nowhere; those to other places are not followed. */
function brokenLinks(page: string, text: string): string[] {
	return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
		if (/^https?:/.test(link)) return [];
		const [path = '', anchor] = link.split('#');
		const target = path === '' ? page : join(dirname(page), path);
		if (!existsSync(join(root, target))) return [`${page}: ${link}`];
		const there = anchor === undefined ? undefined : (pages.get(target) ?? readFileSync(join(root, target), 'utf8'));
		return there === undefined || anchorsOf(there).has(anchor ?? '') ? [] : [`${page}: ${link}`];
	});
}

const keys = new Set(configKeys().map(({ path }) => path));
const keyed = /`((?:limits|listen|identity|audit|admin|tracing|policyWatcher|databases|pool)\.[a-zA-Z][\w.[\]<>]*)/g;

/** Keys of the configuration that a page names and that there are not. Files have names like that too. */
function unknownKeys(text: string): string[] {
	return [...text.matchAll(keyed)].flatMap(([, key = '']) => {
		const path = key.replace(/\.$/, '').replace(/(?<=\b(?:users|issuers|sinks|peers))\./, '[].');
		return keys.has(path) || keys.has(`databases.<name>.${path}`) || /\.(?:pub|key|ts)$/.test(path) ? [] : [key];
	});
}

/** Metrics that a page names and docs/metrics.md, which is generated, does not. */
function unknownMetrics(text: string): string[] {
	const metrics = pages.get('docs/metrics.md') ?? '';
	const named = [...text.matchAll(/`(portcullis_\w+?(?:_total|_seconds|_bytes|_max|_up|_records))\b/g)];
	return named.flatMap(([, name = '']) => (metrics.includes(`| \`${name}\``) ? [] : [name]));
}

describe.each(PAGES)('%s', (page) => {
	const text = pages.get(page) ?? '';
	test('has no broken link, and names no key or metric that there is not', () => {
		expect([...brokenLinks(page, text), ...unknownKeys(text), ...unknownMetrics(text)]).toEqual([]);
	});
});

test('what is not there is found', () => {
	const text = '[a](nowhere.md) [b](README.md#nowhere) `limits.nothing` `pool.size` `portcullis_nothing_total`';
	expect(brokenLinks('README.md', text)).toEqual(['README.md: nowhere.md', 'README.md: README.md#nowhere']);
	expect(unknownKeys(text)).toEqual(['limits.nothing']);
	expect(unknownMetrics(text)).toEqual(['portcullis_nothing_total']);
});
