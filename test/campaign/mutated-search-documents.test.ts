import { throwDocumentsAt } from '../support/mutated-campaign.ts';
import { SEARCH_DOCUMENTS } from '../support/search-documents.ts';

throwDocumentsAt(SEARCH_DOCUMENTS, 20_261_130);
