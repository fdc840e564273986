/** All attacks, in the order of the sections. */
import type { AttackCase } from '../case.ts';
import { barriers } from './barriers.ts';
import { functions } from './functions.ts';
import { names } from './names.ts';
import { reading } from './reading.ts';
import { views } from './views.ts';

export const allCases: readonly AttackCase[] = [...names, ...reading, ...barriers, ...views, ...functions];
