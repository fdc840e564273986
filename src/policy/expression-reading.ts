/**
 * Makes sure that an expression of masks.yaml means to the gateway what it means to PostgreSQL.
 *
 * The parser of policies has precedences of its own (`a = b is null`, `'x' || 1 + 2`) and reads numbers as floats. So what
 * it read is written out with parentheses, and PostgreSQL's own grammar must read that and the author's text alike.
 */
import { loadModule, parseSync } from 'libpg-query';
import type { DataTypeDef, Expr, ExprBinary, ExprCall, ExprCase, ExprRef } from 'pgsql-ast-parser';
import { quoteLiteral } from './claims.ts';

/** To be awaited once before `assertReadAlike`. */
export async function prepareReading(): Promise<void> {
	await loadModule();
}

/**
 * @param text as the author wrote it
 * @param expr as it was read; of the kinds that `printExpression` takes
 * @throws Error with a reason for the author of the policy
 */
export function assertReadAlike(text: string, expr: Expr): void {
	const asWritten = treeOf(`select (${text}\n)`);
	const asRead = treeOf(`select ${plain(expr)}`);
	if (asWritten !== asRead) {
		throw new Error(
			'its meaning is not certain: put parentheses around its parts, so that PostgreSQL and the policy read it alike',
		);
	}
}

/** PostgreSQL's parse tree without positions, as one text. */
function treeOf(sql: string): string {
	let tree: unknown;
	try {
		tree = parseSync(sql);
	} catch (error) {
		throw new Error(`PostgreSQL does not take it: ${error instanceof Error ? error.message : String(error)}`);
	}
	return JSON.stringify(tree, (key, value: unknown) => {
		if (typeof value === 'number' && /(^|_)(location|start|end|len)$/.test(key)) return undefined;
		return key === 'fval' && typeof value === 'string' ? canonicalDecimal(value) : value;
	});
}

/** `1.50`, `01.5` and `15e-1` are one number. */
function canonicalDecimal(text: string): string {
	const match = /^([0-9]*)\.?([0-9]*)(?:e([+-]?[0-9]+))?$/i.exec(text);
	if (!match) return text;
	const [, whole = '', fraction = '', exponent = '0'] = match;
	const digits = `${whole}${fraction}`.replace(/^0+/, '');
	const kept = digits.replace(/0+$/, '');
	return `${kept}e${Number(exponent) - fraction.length + (digits.length - kept.length)}`;
}

/** Ordinary SQL, with parentheses around everything. */
function plain(expr: Expr): string {
	switch (expr.type) {
		case 'ref':
			return plainRef(expr);
		case 'null':
			return 'NULL';
		case 'boolean':
			return expr.value ? 'TRUE' : 'FALSE';
		case 'integer':
		case 'numeric':
			return `(${expr.value})`;
		case 'string':
			return quoteLiteral(expr.value);
		case 'keyword':
			return expr.keyword;
		case 'binary':
			return plainBinary(expr);
		case 'unary':
			return plainUnary(expr.op, expr.opSchema, plain(expr.operand));
		case 'ternary':
			return `(${plain(expr.value)} ${expr.op} ${plain(expr.lo)} AND ${plain(expr.hi)})`;
		case 'cast':
			return `CAST(${plain(expr.operand)} AS ${plainType(expr.to)})`;
		case 'member':
			return `(${plain(expr.operand)} ${expr.op} ${typeof expr.member === 'number' ? expr.member : quoteLiteral(expr.member)})`;
		case 'arrayIndex':
			return `((${plain(expr.array)})[${plain(expr.index)}])`;
		case 'array':
			return `ARRAY[${expr.expressions.map(plain).join(', ')}]`;
		case 'case':
			return plainCase(expr);
		case 'call':
			return plainCall(expr);
		case 'extract':
			return `EXTRACT(${plainName(expr.field.name)} FROM ${plain(expr.from)})`;
		case 'substring':
			return `SUBSTRING(${plain(expr.value)}${clause('FROM', expr.from)}${clause('FOR', expr.for)})`;
		case 'overlay':
			return `OVERLAY(${plain(expr.value)}${clause('PLACING', expr.placing)}${clause('FROM', expr.from)}${clause('FOR', expr.for)})`;
		default:
			throw new Error(`${expr.type} is not allowed`);
	}
}

function clause(word: string, expr: Expr | null | undefined): string {
	return expr ? ` ${word} ${plain(expr)}` : '';
}

function plainRef({ table, name }: ExprRef): string {
	const parts = [table?.schema, table?.name, name].filter((part) => part !== undefined);
	return parts.map((part) => `"${part.replaceAll('""', '"').replaceAll('"', '""')}"`).join('.');
}

function plainBinary({ op, opSchema, left, right }: ExprBinary): string {
	const symbol = plainOperator(op, opSchema);
	if (op === 'IN' || op === 'NOT IN') {
		const items = right.type === 'list' ? right.expressions : [right];
		return `(${plain(left)} ${op} (${items.map(plain).join(', ')}))`;
	}
	const quantified = right.type === 'call' && !right.function.schema && /^(any|some|all)$/.test(right.function.name);
	if (quantified) return `(${plain(left)} ${symbol} ${right.function.name} (${right.args.map(plain).join(', ')}))`;
	return `(${plain(left)} ${symbol} ${plain(right)})`;
}

function plainOperator(op: string, schema: string | undefined): string {
	return schema === undefined ? op : `OPERATOR(${plainName(schema)}.${op})`;
}

function plainUnary(op: string, schema: string | undefined, operand: string): string {
	return op.startsWith('IS ') ? `(${operand} ${op})` : `(${plainOperator(op, schema)} ${operand})`;
}

function plainCase({ value, whens, else: otherwise }: ExprCase): string {
	const branches = whens.map((when) => ` WHEN ${plain(when.when)} THEN ${plain(when.value)}`).join('');
	return `(CASE${value ? ` ${plain(value)}` : ''}${branches}${clause('ELSE', otherwise)} END)`;
}

function plainCall({ function: { schema, name }, args }: ExprCall): string {
	const [only] = args;
	if (name === 'position' && args.length === 1 && only?.type === 'binary' && only.op === 'IN') {
		return `POSITION(${plain(only.left)} IN ${plain(only.right)})`;
	}
	const qualified = schema === undefined ? plainName(name) : `${plainName(schema)}.${plainName(name)}`;
	return `${qualified}(${args.map(plain).join(', ')})`;
}

function plainType(type: DataTypeDef): string {
	if (type.kind === 'array') return `${plainType(type.arrayOf)}[]`;
	const config = type.config && type.config.length > 0 ? `(${type.config.join(', ')})` : '';
	if (type.schema !== undefined || type.doubleQuoted) {
		return `${type.schema === undefined ? '' : `${plainName(type.schema)}.`}${plainName(type.name)}${config}`;
	}
	// The length of a time stands before its zone.
	return config === '' ? type.name : type.name.replace(/^(.*?)( with(?:out)? time zone)?$/, `$1${config}$2`);
}

/** Keywords stay what they are; anything else that is no plain name is quoted. */
function plainName(name: string): string {
	return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
