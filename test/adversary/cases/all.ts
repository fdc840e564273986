/** All attacks, in the order of the sections. */
import type { AttackCase } from '../case.ts';
import { afterwards } from './afterwards.ts';
import { answers } from './answers.ts';
import { barriers } from './barriers.ts';
import { coercions } from './coercions.ts';
import { corners } from './corners.ts';
import { elsewhere } from './elsewhere.ts';
import { functions } from './functions.ts';
import { metadata } from './metadata.ts';
import { moving } from './moving.ts';
import { names } from './names.ts';
import { protocol } from './protocol.ts';
import { reading } from './reading.ts';
import { remembered } from './remembered.ts';
import { session } from './session.ts';
import { shapes } from './shapes.ts';
import { twists } from './twists.ts';
import { unnamed } from './unnamed.ts';
import { viewWrites } from './view-writes.ts';
import { views } from './views.ts';
import { writing } from './writing.ts';

export const allCases: readonly AttackCase[] = [
	...names,
	...reading,
	...barriers,
	...views,
	...functions,
	...coercions,
	...metadata,
	...writing,
	...viewWrites,
	...session,
	...protocol,
	...moving,
	...remembered,
	...twists,
	...afterwards,
	...elsewhere,
	...corners,
	...unnamed,
	...shapes,
	...answers,
];
