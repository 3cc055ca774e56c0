import { MERGE_DOCUMENTS } from '../support/merge-documents.ts';
import { throwDocumentsAt } from '../support/mutated-campaign.ts';

throwDocumentsAt(MERGE_DOCUMENTS, 20_261_129);
