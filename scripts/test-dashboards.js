// What TensorBoard, wandb and MLflow read back of scores that were logged to them: makes a virtual environment with
// their packages in build/, and runs test/campaign/dashboards.test.ts with it. Where the packages cannot be had it
// says so, and ends well: the event files are read by another reader in `npm test`.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/dashboards');
const python = join(folder, 'bin/python');
const PACKAGES = ['tensorboard', 'setuptools<81', 'wandb', 'mlflow-skinny'];

function installed() {
  const { status } = spawnSync(python, ['-c', 'import tensorboard, wandb, mlflow'], { stdio: 'ignore' });
  return status === 0;
}

if (!existsSync(python)) spawnSync('python3', ['-m', 'venv', folder], { stdio: 'ignore' });
if (!installed()) spawnSync(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES], { stdio: 'inherit' });
if (!installed()) {
  console.log('skipped: tensorboard, wandb and mlflow could not be installed for python3');
  process.exit(0);
}
const { status } = spawnSync('npx', ['vitest', 'run', '--project', 'campaign', 'test/campaign/dashboards.test.ts'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, CKPT_TEST_DASHBOARDS: python },
});
process.exit(status ?? 1);
